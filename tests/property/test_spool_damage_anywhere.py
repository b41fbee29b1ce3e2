"""Any bytes of a dead spool change: what was promised is loaded as it was, or something is said.

The mark is left alone: together with the end of the last log it is the only thing whose loss
nobody can notice.
"""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clickledger.clock import SteadyClock
from clickledger.spool import layout
from clickledger.spool.writer import Writer
from clickledger.testing.spools import Drain, HandClock, click, until_ready

SIZES = [1, 1, 30, 2, 1, 60, 1, 1, 5, 30, 1, 1]
PER_SEGMENT = 4
FILES = [f"0000000{number}.segment{end}" for number in (1, 2, 3) for end in ("", "-wal")]
#: The log is written ahead as zeros: damage is wanted where the batches are.
WRITTEN = 120_000

Damage = Callable[[bytearray], None]


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dead spool of three segments; batch ``n`` holds the clicks ``n * 100 + position``."""
    root = tmp_path_factory.mktemp("spool")
    hand = HandClock()
    writer = Writer.open(root, segment_bytes=400_000, segment_age_s=1, clock=SteadyClock(hand.read))
    for index, size in enumerate(SIZES):
        if index % PER_SEGMENT == 0:
            until_ready(writer)
            hand.now += 1_000_000
        writer.append([click((index + 1) * 100 + i) for i in range(size)], hand.now)
    writer.close()
    return root


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    at = draw(st.integers(0, WRITTEN))
    kind = draw(st.sampled_from(["flip", "zeros", "ones", "noise", "cut"]))
    bit = draw(st.integers(0, 7))
    size = draw(st.sampled_from([1, 16, 512, 4096, 20_000]))
    noise = draw(st.binary(min_size=16, max_size=16))

    def damage(data: bytearray) -> None:
        begin = at % max(1, len(data))
        part = min(size, len(data) - begin)
        if kind == "flip" and data:
            data[begin] ^= 1 << bit
        elif kind == "cut":
            del data[begin:]
        else:
            fill = {"zeros": b"\0", "ones": b"\xff"}.get(kind, noise)
            data[begin : begin + part] = (fill * part)[:part]

    return damage


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    changes=st.lists(st.tuples(st.sampled_from(FILES), damages()), min_size=1, max_size=3),
    limit=st.sampled_from([1, 40, 10_000]),
)
def test_nothing_is_lost_in_silence(
    spool: Path, changes: list[tuple[str, Damage]], limit: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="spool-damage-") as name:
        root = Path(name) / "spool"
        shutil.copytree(spool, root)
        (folder,) = layout.spool_folders(root)
        for file, damage in changes:
            data = bytearray((folder / file).read_bytes())
            damage(data)
            (folder / file).write_bytes(data)

        with closing(Drain(root, chunk_clicks=limit)) as drain:
            for _ in range(4 * len(SIZES)):
                if drain.step():
                    break
            drain.all()

            assert len(drain.clicks) == len(set(drain.clicks)), "a click came twice"
            found = {number // 100 for number in drain.clicks}
            assert len(drain.clicks) == sum(SIZES[batch - 1] for batch in found)
            reported = [one.sequence for one in drain.set_aside]
            assert len(reported) == len(set(reported)), "a place was reported twice"
            assert not found & set(reported), "what was loaded is not lost"
            lost = set(range(1, len(SIZES) + 1)) - found
            # Each loss is reported by its number, or by the number of a later one that is lost.
            assert all(any(number >= batch for number in reported) for batch in lost)
            assert layout.spool_folders(root) == [], "a damaged spool does not stay for ever"
