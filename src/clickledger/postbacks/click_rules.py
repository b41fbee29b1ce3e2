"""The rules of click postbacks: which clicks are new, which are told one by one, and what is said.

A click is named by its row key: spool, batch and position in it. The cursor of a notification says
which of them have been told. Clicks are counted in the order in which they are told of, second by
second of their received time: the same clicks in the same order give the same calls and digests,
however they are cut into loads.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from clickledger.clock import MINUTE, SECOND, Micros, to_datetime
from clickledger.postbacks.macros import CLICK_COLUMNS
from clickledger.postbacks.model import CLICK_DIGEST, EVENTS, Event, Kind

#: Minutes that are counted at a time. While something holds the lake's mark for longer, the oldest
#: other one is taken for complete: the cursor stays small, and no digest is late for ever.
OPEN_MINUTES = 60

_SUB_IDS = frozenset({"sub_id1", "sub_id2", "sub_id3"})
_INSTANTS = frozenset({"event_time", "received_time"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Clicks of one minute that are told by their number."""

    #: Start of the minute.
    minute: Micros
    clicks: int
    #: Received times of the first and the last of them.
    first: Micros
    last: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far the lake was followed for one notification."""

    #: Clicks received earlier are not told.
    since: Micros
    #: Entry of the lake's log through which every click was told; None: none yet.
    version: int | None = None
    #: Every click received before it was told, when ``version`` was reached.
    complete: Micros
    #: By spool, the last batch told of and when the latest of its clicks was received. A spool
    #: that is not here has told none, or only clicks received before ``complete``.
    spools: Mapping[str, tuple[int, Micros]] = field(default_factory=dict)
    #: Calls made, by second of received time (Unix time), in minutes that may still grow.
    told: Mapping[int, int] = field(default_factory=dict)
    #: Digests of those minutes, by minute, that are still counting.
    digests: Mapping[Micros, Digest] = field(default_factory=dict)

    @classmethod
    def begin(cls, since: Micros) -> "Cursor":
        """Start to follow: clicks received at that instant or later are told."""
        return cls(since=since, complete=since)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Cursor":
        """Read what ``document`` wrote."""
        return cls(
            since=document["since"],
            version=document["version"],
            complete=document["complete"],
            spools={name: (batch, at) for name, batch, at in document["spools"]},
            told=dict(document["told"]),
            digests={
                minute: Digest(minute=minute, clicks=clicks, first=first, last=last)
                for minute, clicks, first, last in document["digests"]
            },
        )

    def document(self) -> dict[str, object]:
        """Return it as the control database keeps it: plain JSON."""
        return {
            "since": self.since,
            "version": self.version,
            "complete": self.complete,
            "spools": [[name, *at] for name, at in sorted(self.spools.items())],
            "told": [list(pair) for pair in sorted(self.told.items())],
            "digests": [
                [minute, one.clicks, one.first, one.last]
                for minute, one in sorted(self.digests.items())
            ],
        }

    def is_new(self, spool_id: str, sequence: int, received: Micros, *, in_load: bool) -> bool:
        """Tell whether a click lies beyond this cursor.

        ``in_load``: it comes from the load that follows ``version``, so only a spool that is known
        can have told it. Else it may come from anywhere in the lake: what was received before
        ``complete`` was told, of a spool that is not known any more as well.
        """
        if received < (self.since if in_load else self.complete):
            return False
        known = self.spools.get(spool_id)
        return known is None or sequence > known[0]


class Limiter:
    """Decides which clicks of a notification are told one by one. Starts from a cursor.

    At most ``limit`` clicks of a second are; the first one beyond makes the rest of its minute
    a digest.
    """

    def __init__(self, cursor: Cursor, limit: int) -> None:
        self._limit = limit
        self._told = dict(cursor.told)
        self._digests = dict(cursor.digests)
        self._open = {second * SECOND // MINUTE * MINUTE for second in self._told}
        self._open.update(self._digests)
        self._ready: list[Digest] = []

    @property
    def told(self) -> Mapping[int, int]:
        """Calls made, as a cursor keeps them."""
        return self._told

    @property
    def digests(self) -> Mapping[Micros, Digest]:
        """Digests that are still counting."""
        return self._digests

    def tells(self, received: Micros) -> bool:
        """Count a click; True: it is told by a call of its own, False: by a digest."""
        minute, second = received // MINUTE * MINUTE, received // SECOND
        self._open.add(minute)
        digest = self._digests.get(minute)
        calls = self._told.get(second, 0)
        alone = digest is None and calls < self._limit
        if alone:
            self._told[second] = calls + 1
        elif digest is None:
            self._digests[minute] = Digest(minute=minute, clicks=1, first=received, last=received)
        else:
            self._digests[minute] = Digest(
                minute=minute,
                clicks=digest.clicks + 1,
                first=min(digest.first, received),
                last=max(digest.last, received),
            )
        if len(self._open) > OPEN_MINUTES:
            self._close(min(self._open - {minute}))
        return alone

    def complete(self, through: Micros) -> None:
        """Close each minute that ended by then: no click of it follows."""
        for minute in sorted(self._open):
            if minute + MINUTE <= through:
                self._close(minute)

    def ready(self) -> list[Digest]:
        """Take the digests of closed minutes; each is given once."""
        ready, self._ready = self._ready, []
        return ready

    def _close(self, minute: Micros) -> None:
        self._open.remove(minute)
        first = minute // SECOND
        for second in [one for one in self._told if first <= one < first + MINUTE // SECOND]:
            del self._told[second]
        digest = self._digests.pop(minute, None)
        if digest is not None:
            self._ready.append(digest)


def advance(
    spools: Mapping[str, tuple[int, Micros]], told: Mapping[str, tuple[int, Micros]]
) -> dict[str, tuple[int, Micros]]:
    """Note of more batches that they were told; never steps back."""
    merged = dict(spools)
    for name, (batch, latest) in told.items():
        before, at = merged.get(name, (0, 0))
        merged[name] = max(before, batch), max(at, latest)
    return merged


def still_needed(
    spools: Mapping[str, tuple[int, Micros]], complete: Micros
) -> dict[str, tuple[int, Micros]]:
    """Drop the spools whose told clicks were all received before ``complete``.

    What they hold beyond was received later (the lake's mark says so), and is told apart by that.
    """
    return {name: known for name, known in spools.items() if known[1] >= complete}


def macros(row: Mapping[str, Any], zone: ZoneInfo, *, hide_sub_ids: bool) -> dict[str, str]:
    """Return the macros of a click; ``row`` has the columns of the lake, instants in microseconds.

    Instants are shown in the program's zone, as in its exports. What a click did not bring is
    left out.
    """
    found: dict[str, str] = {}
    for macro, column in CLICK_COLUMNS.items():
        value = row[column]
        if value is None or (hide_sub_ids and column in _SUB_IDS):
            continue
        found[macro] = _shown(value, zone) if column in _INSTANTS else str(value)
    return found


def click_event(
    *,
    received: Micros,
    program_id: int,
    partner_id: int,
    account_sids: Iterable[str],
    values: Mapping[str, str],
) -> Event:
    """Make the event of one click."""
    (name,) = EVENTS[Kind.CLICK]
    return Event(
        kind=Kind.CLICK,
        name=name,
        account_sids=tuple(account_sids),
        program_id=program_id,
        partner_id=partner_id,
        at=to_datetime(received),
        values=values,
    )


def digest_event(
    digest: Digest, *, account_sid: str, program_ids: Iterable[int], limit: int
) -> Event:
    """Make the event of a digest; it is of one program when it can only be of that one, else of 0.

    ``program_ids``: those that the notification names.
    """
    named = tuple(program_ids)
    return Event(
        kind=Kind.CLICK,
        name=CLICK_DIGEST,
        account_sids=(account_sid,),
        program_id=named[0] if len(named) == 1 else 0,
        at=to_datetime(digest.minute + MINUTE),
        values={
            "Clicks": str(digest.clicks),
            "From": _utc(digest.first),
            "To": _utc(digest.last),
            "Limit": str(limit),
        },
    )


def _shown(instant: Micros, zone: ZoneInfo) -> str:
    return to_datetime(instant).astimezone(zone).isoformat(timespec="seconds")


def _utc(instant: Micros) -> str:
    return f"{to_datetime(instant):%Y-%m-%dT%H:%M:%SZ}"
