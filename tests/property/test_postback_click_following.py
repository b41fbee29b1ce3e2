"""However clicks come into the lake, and however often the follower starts anew, each is told once.

A made-up world: spools bring clicks in batches, loads take some of what is there, the mark says
through when everything is in. A follower reads load by load, or by row keys where it lost its
place; what it keeps between two steps is what the control database would.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from clickledger.clock import MINUTE, SECOND, Micros
from clickledger.lake.following import Addition
from clickledger.postbacks import click_steps
from clickledger.postbacks.click_rules import Cursor, Digest, Limiter
from clickledger.postbacks.click_steps import Directory, Follower, Program, Step
from clickledger.postbacks.macros import CLICK_COLUMNS
from clickledger.postbacks.model import CLICK_DIGEST, Draft, Kind

FOREVER = 2**62

# The limit


received_times = st.lists(
    st.integers(0, 3 * MINUTE // SECOND).map(lambda second: second * SECOND), max_size=60
)


def run(
    times: Sequence[Micros], limit: int, cuts: Sequence[int] = ()
) -> tuple[list[bool], list[Digest]]:
    """Count clicks; at each cut, go on from what was stored."""
    cursor = Cursor.begin(0)
    told: list[bool] = []
    edges = [0, *sorted(min(cut, len(times)) for cut in cuts), len(times)]
    for first, end in pairwise(edges):
        limiter = Limiter(Cursor.read(json.loads(json.dumps(cursor.document()))), limit)
        told += [limiter.tells(at) for at in times[first:end]]
        cursor = replace(cursor, told=limiter.told, digests=limiter.digests)
    limiter = Limiter(cursor, limit)
    limiter.complete(FOREVER)
    return told, limiter.ready()


@given(received_times, st.integers(1, 4), st.lists(st.integers(0, 60), max_size=5))
def test_calls_and_digests_do_not_depend_on_how_clicks_are_cut_into_loads(
    times: list[Micros], limit: int, cuts: list[int]
) -> None:
    assert run(times, limit, cuts) == run(times, limit)


@given(received_times, st.integers(1, 4))
def test_each_click_is_told_or_counted_and_no_second_is_told_beyond_the_limit(
    times: list[Micros], limit: int
) -> None:
    told, digests = run(times, limit)
    assert sum(told) + sum(digest.clicks for digest in digests) == len(times)
    alone = Counter(at // SECOND for at, by_itself in zip(times, told, strict=True) if by_itself)
    assert max(alone.values(), default=0) <= limit
    busy = {at // MINUTE * MINUTE for at, count in Counter(times).items() if count > limit}
    assert {digest.minute for digest in digests} == busy
    for digest in digests:
        hidden = [
            at
            for at, by_itself in zip(times, told, strict=True)
            if not by_itself and at // MINUTE * MINUTE == digest.minute
        ]
        found = (digest.clicks, digest.first, digest.last)
        assert found == (len(hidden), min(hidden), max(hidden))


# The cursor


@dataclass(frozen=True)
class Batch:
    """Clicks of one group commit, by their received times."""

    spool: str
    sequence: int
    received: tuple[Micros, ...]


@dataclass
class World:
    """Spools, the lake, and one follower of it."""

    since: Micros
    #: Not loaded yet, by spool.
    waiting: dict[str, list[Batch]]
    loads: list[list[Batch]] = field(default_factory=list)
    stored: Mapping[str, object] | None = None
    told: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    digested: int = 0

    @property
    def mark(self) -> Micros:
        """Everything received before it is loaded."""
        return min(
            (at for batches in self.waiting.values() for one in batches for at in one.received),
            default=FOREVER,
        )

    def load(self, counts: Mapping[str, int]) -> None:
        """Load the next batches of some spools."""
        taken: list[Batch] = []
        for spool, count in counts.items():
            taken += self.waiting[spool][:count]
            del self.waiting[spool][:count]
        self.loads.append(taken)

    def follower(self) -> Follower:
        """Read it as the control database has it."""
        cursor = (
            Cursor.begin(self.since)
            if self.stored is None
            else Cursor.read(json.loads(json.dumps(self.stored)))
        )
        return Follower(
            id="one",
            account_sid="IRbrand",
            draft=Draft(
                name="clicks", kind=Kind.CLICK, url="https://hooks.example/", click_limit=2
            ),
            changed_at=datetime(2026, 3, 1, tzinfo=UTC),
            stored=self.stored,
            cursor=cursor,
        )

    def commit(self, step: Step) -> None:
        """Put what a step says and store its cursor, as one transaction would."""
        for event in step.events:
            if event.name == CLICK_DIGEST:
                self.digested += int(event.values["Clicks"])
            else:
                spool, sequence, position = event.values["ClickId"].split("/")
                self.told[spool, int(sequence), int(position)] += 1
        self.stored = step.cursor.document()

    def tell(self, batches: Sequence[Batch], *, in_load: bool, pieces: int) -> bool:
        """Tell of batches in the order of the row key; False: killed after some pieces."""
        ordered = sorted(batches, key=lambda one: (one.spool, one.sequence))
        for number in range(0, len(ordered), 2):
            if pieces == 0:
                return False
            pieces -= 1
            clicks = table(ordered[number : number + 2])
            (step,) = click_steps.tell([self.follower()], DIRECTORY, clicks, in_load=in_load)
            self.commit(step)
        return pieces > 0

    def next_load(self, pieces: int) -> None:
        """Follow the log by one load, if there is one."""
        version = self.follower().cursor.version
        if version is None:
            self.by_row_keys(pieces)
        elif version < len(self.loads):
            batches = self.loads[version]
            if self.tell(batches, in_load=True, pieces=pieces):
                latest = max((max(one.received) for one in batches), default=0)
                last = {one.spool: (one.sequence, latest) for one in batches}
                self.arrive(Addition(version=version + 1, spools=last))

    def by_row_keys(self, pieces: int) -> None:
        """Look for what is new in the whole lake."""
        complete = self.follower().cursor.complete
        batches = [one for load in self.loads for one in load]
        if self.tell(batches, in_load=False, pieces=pieces):
            spools: dict[str, tuple[int, Micros]] = {}
            for one in batches:
                if any(at >= complete for at in one.received):
                    loaded = max(other.sequence for other in batches if other.spool == one.spool)
                    latest = max(*one.received, spools.get(one.spool, (0, 0))[1])
                    spools[one.spool] = loaded, latest
            self.arrive(Addition(version=len(self.loads), spools=spools))

    def arrive(self, addition: Addition) -> None:
        """Stand behind it; when nothing follows, everything before the mark is told."""
        mark = self.mark
        self.commit(click_steps.arrive(self.follower(), addition))
        if addition.version == len(self.loads):
            self.commit(click_steps.close(self.follower(), mark))


DIRECTORY = Directory(
    programs={3: Program(brand="IRbrand", zone=ZoneInfo("UTC"), hide_sub_ids=False)},
    partners={},
)


def table(batches: Sequence[Batch]) -> pa.Table:
    """Make the clicks of batches as the lake gives them."""
    nothing = dict.fromkeys(CLICK_COLUMNS.values())
    names = [*nothing, "spool_id", "sequence", "position"]
    rows = [
        {
            **nothing,
            "spool_id": one.spool,
            "sequence": one.sequence,
            "position": position,
            "event_time": at,
            "received_time": at,
            "program_id": 3,
            "media_id": 1,
            "click_id": f"{one.spool}/{one.sequence}/{position}",
        }
        for one in batches
        for position, at in enumerate(one.received)
    ]
    return pa.table({name: pa.array([row[name] for row in rows]) for name in names})


@st.composite
def spools(draw: st.DrawFn) -> dict[str, list[Batch]]:
    """Draw spools whose clicks were received in the order of their batches."""
    found = {}
    for spool in draw(st.sampled_from((("a",), ("a", "b"), ("a", "b", "c")))):
        at = draw(st.integers(0, 20))
        batches = []
        sequence = 0
        for _ in range(draw(st.integers(1, 6))):
            sequence += draw(st.integers(1, 2))
            received = []
            for _ in range(draw(st.integers(1, 3))):
                at += draw(st.integers(0, 3))
                received.append(at * SECOND)
            batches.append(Batch(spool, sequence, tuple(received)))
        found[spool] = batches
    return found


moves = st.lists(
    st.one_of(
        st.dictionaries(st.sampled_from("abc"), st.integers(1, 3)),
        st.tuples(st.sampled_from(("load", "keys")), st.sampled_from((0, 1, 2, 99))),
    ),
    max_size=14,
)


@given(spools(), st.integers(0, 30), moves)
# A spool that the cursor does not name any more, in the middle of a look by row keys.
@example(
    {
        "a": [Batch("a", number, (2 * SECOND,)) for number in (1, 2)],
        "b": [Batch("b", 1, (0,)), Batch("b", 2, (SECOND,))],
    },
    0,
    [{"a": 1, "b": 2}, ("load", 99), ("keys", 2)],
)
def test_each_click_is_told_once_whatever_is_lost_in_between(
    waiting: dict[str, list[Batch]],
    since: int,
    moves: list[dict[str, int] | tuple[str, int]],
) -> None:
    every = {
        (one.spool, one.sequence, position): at
        for batches in waiting.values()
        for one in batches
        for position, at in enumerate(one.received)
    }
    world = World(since=since * SECOND, waiting={name: [*one] for name, one in waiting.items()})
    for move in moves:
        match move:
            case dict():
                world.load({name: move[name] for name in move.keys() & waiting.keys()})
            case ("load", pieces):
                world.next_load(pieces)
            case (_, pieces):
                world.by_row_keys(pieces)
    world.load(dict.fromkeys(waiting, 99))
    while world.follower().cursor.version != len(world.loads):
        world.next_load(99)
    world.commit(click_steps.close(world.follower(), FOREVER))
    wanted = {key for key, at in every.items() if at >= world.since}
    assert max(world.told.values(), default=1) == 1
    assert world.told.keys() <= wanted
    assert len(world.told) + world.digested == len(wanted)
