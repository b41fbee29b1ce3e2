"""From clicks of the lake to what is put for each notification that follows it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from clickledger.clock import Micros
from clickledger.lake.following import Addition
from clickledger.postbacks import click_rules, rules
from clickledger.postbacks.click_rules import Cursor, Limiter
from clickledger.postbacks.model import Draft, Event

#: What decides about a click; the rest is read for those that are told.
_DECIDING = ("spool_id", "sequence", "received_time", "program_id", "media_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """A notification that is on, and how far the lake was followed for it."""

    id: str
    account_sid: str
    draft: Draft
    changed_at: datetime
    #: As the control database holds it; None: it holds none yet.
    stored: Mapping[str, Any] | None
    cursor: Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a click's program decides about its postbacks."""

    brand: str
    zone: ZoneInfo
    hide_sub_ids: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """The programs and partners that the following accounts have to do with."""

    programs: Mapping[int, Program]
    #: By id of the partner: its own account and its brand's.
    partners: Mapping[int, tuple[str, str]]

    def accounts(self, program_id: int, partner_id: int) -> tuple[str, ...]:
        """Name the accounts that a click concerns: the brand, and its partner if it is known."""
        program = self.programs.get(program_id)
        if program is None:
            return ()
        partner, brand = self.partners.get(partner_id, ("", ""))
        return (program.brand, partner) if brand == program.brand else (program.brand,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be put for a follower, and its cursor afterwards."""

    follower: Follower
    cursor: Cursor
    events: Sequence[Event] = ()

    @property
    def speaks(self) -> bool:
        """Whether it must be stored at once: something is put, or was counted."""
        before = self.follower.cursor
        return bool(
            self.events
            or self.follower.stored is None
            or self.cursor.told != before.told
            or self.cursor.digests != before.digests
        )


def tell(
    followers: Sequence[Follower], directory: Directory, clicks: pa.Table, *, in_load: bool
) -> list[Step]:
    """Decide for each follower which of some clicks it is told of, one by one or by number.

    ``clicks``: whole batches in the order of the row key, with all columns that a macro needs,
    instants in UTC microseconds. ``in_load``: they come from the load that follows the version
    of the cursors.
    """
    seen = _Clicks(clicks, directory, in_load=in_load)
    steps = []
    for follower in followers:
        limiter = Limiter(follower.cursor, follower.draft.click_limit)
        events = seen.events(follower, seen.told(follower, limiter))
        cursor = replace(
            follower.cursor,
            spools=click_rules.advance(follower.cursor.spools, seen.spools),
            told=limiter.told,
            digests=limiter.digests,
        )
        events += _digests(follower, limiter)
        steps.append(Step(follower=follower, cursor=cursor, events=events))
    return steps


def arrive(follower: Follower, addition: Addition) -> Step:
    """Move a cursor behind clicks that were all told, or are not for it."""
    cursor = replace(
        follower.cursor,
        version=addition.version,
        spools=click_rules.advance(follower.cursor.spools, addition.spools),
    )
    return Step(follower=follower, cursor=cursor)


def close(follower: Follower, mark: Micros | None) -> Step:
    """Give out the digests of the minutes that a current follower's lake is complete through."""
    # A mark that steps back had been published by a clock that was ahead.
    complete = max(follower.cursor.complete, mark or 0)
    limiter = Limiter(follower.cursor, follower.draft.click_limit)
    limiter.complete(complete)
    cursor = replace(
        follower.cursor,
        complete=complete,
        spools=click_rules.still_needed(follower.cursor.spools, complete),
        told=limiter.told,
        digests=limiter.digests,
    )
    return Step(follower=follower, cursor=cursor, events=_digests(follower, limiter))


def _digests(follower: Follower, limiter: Limiter) -> list[Event]:
    return [
        click_rules.digest_event(
            digest,
            account_sid=follower.account_sid,
            program_ids=follower.draft.program_ids,
            limit=follower.draft.click_limit,
        )
        for digest in limiter.ready()
    ]


class _Clicks:
    """Some clicks: what decides about each, and the macros of those that are told."""

    def __init__(self, clicks: pa.Table, directory: Directory, *, in_load: bool) -> None:
        self._table = clicks
        self._in_load = in_load
        self._directory = directory
        self._deciding = list(zip(*(clicks[name].to_pylist() for name in _DECIDING), strict=True))
        #: As a cursor keeps them.
        self.spools: dict[str, tuple[int, Micros]] = {}
        for spool_id, sequence, received, _, _ in self._deciding:
            before = self.spools.get(spool_id, (0, 0))
            self.spools[spool_id] = max(sequence, before[0]), max(received, before[1])
        self._values: dict[tuple[int, bool], Mapping[str, str]] = {}

    def told(self, follower: Follower, limiter: Limiter) -> list[int]:
        """Count the clicks that a follower has not been told; return the rows told one by one."""
        wanted: dict[tuple[int, int], bool] = {}
        rows = []
        for row, (spool_id, sequence, received, program_id, partner_id) in enumerate(
            self._deciding
        ):
            pair = program_id, partner_id
            if pair not in wanted:
                wanted[pair] = self._concerns(follower, *pair)
            if (
                wanted[pair]
                and follower.cursor.is_new(spool_id, sequence, received, in_load=self._in_load)
                and limiter.tells(received)
            ):
                rows.append(row)
        return rows

    def events(self, follower: Follower, rows: Sequence[int]) -> list[Event]:
        """Make the events of these clicks as a follower sees them."""
        hidden = [self._hides(row, follower) for row in rows]
        missing = [
            (row, hide)
            for row, hide in zip(rows, hidden, strict=True)
            if (row, hide) not in self._values
        ]
        found = self._table.take(pa.array([row for row, _ in missing], pa.int64())).to_pylist()
        for (row, hide), click in zip(missing, found, strict=True):
            zone = self._directory.programs[click["program_id"]].zone
            self._values[row, hide] = click_rules.macros(click, zone, hide_sub_ids=hide)
        return [
            self._event(row, self._values[row, hide])
            for row, hide in zip(rows, hidden, strict=True)
        ]

    def _concerns(self, follower: Follower, program_id: int, partner_id: int) -> bool:
        """Tell whether a follower is about the clicks of a program and a partner."""
        accounts = self._directory.accounts(program_id, partner_id)
        if follower.account_sid not in accounts:
            return False
        probe = click_rules.click_event(
            received=0,
            program_id=program_id,
            partner_id=partner_id,
            account_sids=accounts,
            values={},
        )
        return rules.matches(follower.draft, probe)

    def _hides(self, row: int, follower: Follower) -> bool:
        program = self._directory.programs[self._deciding[row][3]]
        return program.hide_sub_ids and program.brand == follower.account_sid

    def _event(self, row: int, values: Mapping[str, str]) -> Event:
        _, _, received, program_id, partner_id = self._deciding[row]
        return click_rules.click_event(
            received=received,
            program_id=program_id,
            partner_id=partner_id,
            account_sids=self._directory.accounts(program_id, partner_id),
            values=values,
        )
