"""The unique rule in SQL says what its sentence says, click by click."""

from dataclasses import dataclass

import duckdb
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from clickledger.clock import MINUTE, SECOND
from clickledger.lake.unique import WINDOW, unique_sql

START = 1_700_000_000_000_000
_SCHEMA = pa.schema(
    [
        ("program_id", pa.int64()),
        ("event_time", pa.timestamp("us", tz="UTC")),
        ("spool_id", pa.string()),
        ("sequence", pa.int64()),
        ("position", pa.int32()),
        ("profile_id", pa.string()),
        ("profile_carried", pa.bool_()),
        ("visitor", pa.binary()),
    ]
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A click as far as the rule looks."""

    program_id: int
    event_time: int
    spool_id: str
    sequence: int
    position: int
    profile_id: str | None
    profile_carried: bool
    visitor: bytes | None

    @property
    def order(self) -> tuple[int, str, int, int]:
        return self.event_time, self.spool_id, self.sequence, self.position


def repeats(later: Seen, earlier: Seen) -> bool:
    """The sentence of the rule."""
    if later.program_id != earlier.program_id or earlier.order >= later.order:
        return False
    if later.event_time - earlier.event_time >= 30 * MINUTE:
        return False
    if later.profile_carried:
        return later.profile_id == earlier.profile_id
    return later.visitor is not None and later.visitor == earlier.visitor


def judge(clicks: list[Seen], since: int) -> dict[tuple[int, str, int, int], bool]:
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        columns = [pa.array([getattr(one, f.name) for one in clicks], f.type) for f in _SCHEMA]
        engine.register("given", pa.table(columns, schema=_SCHEMA))
        query = (
            "SELECT epoch_us(event_time), spool_id, sequence, position, unique_click"
            f" FROM ({unique_sql('given', since)})"
        )
        return {row[:4]: row[4] for row in engine.execute(query).fetchall()}


# Times close to each other and to the window's edge; few programs, profiles and visitors.
TIMES = st.sampled_from([0, 1, 30 * MINUTE - 1, 30 * MINUTE, 30 * MINUTE + 1, 60 * MINUTE]) | (
    st.integers(0, 90 * MINUTE)
)


@st.composite
def clicks(draw: st.DrawFn) -> list[Seen]:
    count = draw(st.integers(1, 12))
    found = []
    for number in range(count):
        profile = draw(st.sampled_from(["p", "q", None]))
        found.append(
            Seen(
                program_id=draw(st.sampled_from([1, 2])),
                event_time=START + draw(TIMES),
                spool_id=draw(st.sampled_from(["a", "b"])),
                sequence=number // 3,
                position=number % 3,
                profile_id=profile,
                profile_carried=profile is not None and draw(st.booleans()),
                visitor=draw(st.sampled_from([b"v", b"w", None])),
            )
        )
    return found


@given(clicks(), st.integers(0, 90 * MINUTE))
def test_sql_agrees_with_the_sentence(found: list[Seen], offset: int) -> None:
    since = START + offset
    assert judge(found, since) == {
        one.order: not any(repeats(one, other) for other in found)
        for one in found
        if one.event_time >= since
    }


def pair(apart: int, **second: object) -> bool:
    """Judge the second of two clicks of one profile."""
    first = Seen(1, START, "a", 1, 0, "p", False, b"v")
    fields: dict[str, object] = {
        "program_id": 1,
        "event_time": START + apart,
        "spool_id": "a",
        "sequence": 2,
        "position": 0,
        "profile_id": "p",
        "profile_carried": True,
        "visitor": b"other",
    }
    later = Seen(**(fields | second))  # type: ignore[arg-type] # each name is a field
    return judge([first, later], START)[later.order]


def test_the_window_is_half_open() -> None:
    assert WINDOW == 1800 * SECOND
    assert [pair(WINDOW - 1), pair(WINDOW), pair(WINDOW + 1)] == [False, True, True]


def test_clicks_of_equal_time_are_in_the_order_of_the_row_key() -> None:
    assert pair(0, sequence=2) is False
    assert pair(0, sequence=0) is True


def test_a_carried_profile_decides_alone() -> None:
    assert pair(5, profile_id="q", visitor=b"v") is True


def test_without_a_carried_profile_the_visitor_decides() -> None:
    assert pair(5, profile_carried=False, visitor=b"v") is False
    assert pair(5, profile_carried=False, visitor=b"w") is True
    assert pair(5, profile_carried=False, visitor=None) is True


def test_programs_do_not_know_of_each_other() -> None:
    assert pair(5, program_id=2) is True


def test_clicks_before_the_bound_count_but_do_not_come_out() -> None:
    first = Seen(1, START - 1, "a", 1, 0, "p", False, b"v")
    later = Seen(1, START, "a", 2, 0, "p", True, b"v")
    assert judge([first, later], START) == {later.order: False}


def test_a_steady_clicker_stays_one_session() -> None:
    """ROLLING: since the last click, not since the last unique one."""
    steady = [Seen(1, START + n * 20 * MINUTE, "a", n, 0, "p", True, b"v") for n in range(6)]
    assert list(judge(steady, START).values()).count(True) == 1
