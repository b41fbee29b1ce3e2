"""Cutting a closed day: every row belongs to exactly one slice, in order, of bounded size."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from clickledger.clock import DAY
from clickledger.lake.ordering import Cutter

MIDNIGHT = 20_000 * DAY
PLACES = st.lists(
    st.tuples(st.sampled_from([1, 5, 2**62]), st.integers(0, 40) | st.just(DAY - 1)),
    min_size=1,
    max_size=80,
)


@given(PLACES, st.integers(1, 20), st.integers(1, 30))
def test_slices_partition_the_day(
    places: list[tuple[int, int]], slice_rows: int, batch_rows: int
) -> None:
    ordered = sorted(places)
    cutter = Cutter(slice_rows)
    for start in range(0, len(ordered), batch_rows):
        part = ordered[start : start + batch_rows]
        cutter.add(
            pa.record_batch(
                {
                    "program_id": pa.array([program for program, _ in part], pa.int64()),
                    "time_of_day": pa.array([time for _, time in part], pa.int64()),
                    "unique_click": pa.array([time % 2 == 0 for _, time in part]),
                }
            )
        )
    order = cutter.order()
    rows = pa.table(
        {
            "program_id": pa.array([program for program, _ in ordered], pa.int64()),
            "event_time": pa.array(
                [MIDNIGHT + time for _, time in ordered], pa.timestamp("us", tz="UTC")
            ),
        }
    )
    slices = order.slices(rows, MIDNIGHT).tolist()
    assert slices == sorted(slices), "slices are in order"
    assert (order.cuts[0], order.cuts[-1]) == (0, len(ordered))
    for number, (start, end) in enumerate(zip(order.cuts, order.cuts[1:], strict=False)):
        assert start < end
        assert slices[start:end] == [number] * (end - start)
        # Only rows of one program and instant make a slice larger than asked for.
        assert end - start <= slice_rows - 1 + max(map(ordered.count, ordered))
    assert order.verdicts.tolist() == [time % 2 == 0 for _, time in ordered]
