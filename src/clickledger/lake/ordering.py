"""The order of a closed day, found in a stream of its sorted keys; cut into slices. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from clickledger.clock import Micros

#: A day's microseconds need 37 bits; the rank of a program stands above them.
_TIME_BITS = 37

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Order:
    """What is known of a day's rows, in their final order."""

    #: Whether the click is unique.
    verdicts: npt.NDArray[np.bool_]
    #: Distinct program ids, ascending.
    programs: Numbers
    #: First row of each slice, and the end of the last.
    cuts: list[int]
    #: Place of each slice's first row.
    starts: Numbers

    def slices(self, rows: pa.Table, midnight: Micros) -> Numbers:
        """Tell the slice of each row of a day that began at ``midnight``."""
        times = rows["event_time"].cast(pa.int64()).to_numpy() - midnight
        places = _places(self.programs, rows["program_id"].to_numpy(), times)
        return np.searchsorted(self.starts, places, "right").astype(np.int64) - 1


class Cutter:
    """Takes batches of (program_id, time_of_day, unique_click) in the final order."""

    def __init__(self, slice_rows: int) -> None:
        self._slice_rows = slice_rows
        self._rows = 0
        self._verdicts: list[npt.NDArray[np.bool_]] = []
        self._programs: set[int] = set()
        self._cuts: list[int] = []
        self._starts: list[tuple[int, int]] = []
        self._last = (-1, -1)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the next rows; times are microseconds since midnight."""
        if not len(batch):
            return
        programs = batch["program_id"].to_numpy()
        times = batch["time_of_day"].to_numpy()
        self._verdicts.append(batch["unique_click"].to_numpy(zero_copy_only=False))
        self._programs.update(np.unique(programs).tolist())
        # A cut lies where program or time changes, so that a slice is a range of both.
        changes = np.flatnonzero(
            (np.diff(programs, prepend=self._last[0]) != 0)
            | (np.diff(times, prepend=self._last[1]) != 0)
        )
        due = self._cuts[-1] + self._slice_rows - self._rows if self._cuts else 0
        while (at := int(np.searchsorted(changes, max(due, 0)))) < len(changes):
            row = int(changes[at])
            self._cuts.append(self._rows + row)
            self._starts.append((int(programs[row]), int(times[row])))
            due = row + self._slice_rows
        self._rows += len(batch)
        self._last = int(programs[-1]), int(times[-1])

    def order(self) -> Order:
        """Return what was found."""
        programs = np.array(sorted(self._programs), np.int64)
        starts = np.array(self._starts, np.int64).reshape(-1, 2)
        return Order(
            np.concatenate(self._verdicts) if self._verdicts else np.zeros(0, np.bool_),
            programs,
            [*self._cuts, self._rows],
            _places(programs, starts[:, 0], starts[:, 1]),
        )


def _places(programs: Numbers, of: Numbers, times: Numbers) -> Numbers:
    """Number rows so that the numbers are in the order of (program, time)."""
    ranks = np.searchsorted(programs, of).astype(np.int64)
    return (ranks << _TIME_BITS) | times
