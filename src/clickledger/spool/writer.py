"""The collector's side of the spool: a batch is on disk when ``append`` returns."""

import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from clickledger import durable, ids
from clickledger.clock import SECOND, Micros, SteadyClock
from clickledger.errors import SpoolUnavailableError
from clickledger.spool import format as spool_format
from clickledger.spool import layout
from clickledger.spool.keeper import Keeper
from clickledger.spool.model import Click
from clickledger.spool.segment import Row, SegmentWriter

#: Capacity of a segment that someone waits for, the first one above all: it is ready in
#: hundredths of a second, and the keeper makes the next at full size meanwhile.
_SMALL_BYTES = 4 * 1024 * 1024
#: Room that must be found on the disk before a spool that failed calls itself well again.
_PROBE_BYTES = 1024 * 1024


class Writer:
    """Writes the spool of this process, for the life of this process. Used by one thread.

    A writer always makes a new spool. When the disk cannot be written, ``append`` and ``mark``
    raise SpoolUnavailableError, and each later call tries again.
    """

    def __init__(
        self, root: Path, *, segment_bytes: int, segment_age_s: float, clock: SteadyClock
    ) -> None:
        self._root = root
        self._segment_bytes = segment_bytes
        self._segment_age = int(segment_age_s * SECOND)
        self._clock = clock
        self._spool: _Spool | None = None
        self._spool_id = ""
        self._fault = ""
        self._closed = False

    @classmethod
    def open(
        cls, root: Path, *, segment_bytes: int, segment_age_s: float, clock: SteadyClock
    ) -> "Writer":
        """Make a new spool below ``root``, visible and locked on return.

        When that is not possible now, ``fault`` says why, and the next call tries again: visitors
        are served by a collector that cannot record them.
        """
        writer = cls(root, segment_bytes=segment_bytes, segment_age_s=segment_age_s, clock=clock)
        with suppress(SpoolUnavailableError):
            writer._begin(late=False)
        return writer

    @property
    def spool_id(self) -> str:
        """Id of the present spool, or the last one; empty when there was none yet."""
        return self._spool_id

    @property
    def fault(self) -> str:
        """Why the last call failed; empty when it did not."""
        return self._fault

    def append(self, clicks: Sequence[Click], low_water: Micros) -> int:
        """Make clicks durable as one batch; return its sequence number.

        ``low_water``: nothing received before this instant will follow in a later call.
        The batch is on disk when this returns, and counts as never promised when it raises.
        (More than ``format.MAX_CLICKS`` make several batches of one commit; the last number is
        returned.)

        Raises:
            SpoolUnavailableError: the clicks are not recorded; the number is not used again.
        """
        if not clicks:
            raise ValueError("a batch holds at least one click")
        received = [click.received for click in clicks]
        spool = self._spool or self._begin(late=True)
        if not spool.in_place():
            spool = self._begin(late=True)
        if spool.late and min(received) < spool.visible:
            # Before this spool was visible, the lake may have been called complete through then.
            raise self._failed("these clicks are older than the spool, which was made just now")
        try:
            sequence = spool.append(clicks, received, low_water)
        except (OSError, sqlite3.Error) as error:
            raise self._failed(f"spool {spool.id}: {error}") from error
        self._fault = ""
        return sequence

    def mark(self, low_water: Micros) -> None:
        """Record that nothing received before ``low_water`` will follow; call when idle.

        After a failure it also looks whether the disk can be written again.

        Raises:
            SpoolUnavailableError: it cannot.
        """
        spool = self._spool or self._begin(late=True)
        if not spool.in_place():
            spool = self._begin(late=True)
        try:
            if self._fault:
                spool.recover()
            spool.mark(low_water)
        except (OSError, sqlite3.Error) as error:
            raise self._failed(f"spool {spool.id}: {error}") from error
        self._fault = ""

    def close(self) -> None:
        """End the spool: what it holds stays for the loader."""
        self._closed = True
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _begin(self, *, late: bool) -> "_Spool":
        if self._closed:
            raise self._failed("the spool is closed")
        if self._spool is not None:  # its folder was taken away: its id is never used again
            self._spool.close()
            self._spool = None
        try:
            self._spool = _Spool(
                self._root,
                segment_bytes=self._segment_bytes,
                segment_age=self._segment_age,
                clock=self._clock,
                late=late,
            )
        except (OSError, sqlite3.Error) as error:
            raise self._failed(f"no spool can be made in {self._root}: {error}") from error
        self._spool_id = self._spool.id
        return self._spool

    def _failed(self, reason: str) -> SpoolUnavailableError:
        self._fault = reason
        return SpoolUnavailableError(reason)


class _Spool:
    """One spool while it is written."""

    def __init__(
        self,
        root: Path,
        *,
        segment_bytes: int,
        segment_age: Micros,
        clock: SteadyClock,
        late: bool,
    ) -> None:
        self.id = ids.new_spool_id()
        #: Made after clicks were taken already, because it could not be made before.
        self.late = late
        self._folder = root / self.id
        self._codec = spool_format.Codec(self.id)
        self._segment_bytes = segment_bytes
        self._segment_age = segment_age
        self._clock = clock
        self._sequence = 0
        self._acknowledged = 0
        self._low_water = 0
        # Segments before the present one, kept open until a batch stands in a later segment: so
        # nobody rebuilds their index and finds a batch that was reported as failed.
        self._left: list[SegmentWriter] = []
        self._sound = True
        #: Nothing received before this instant can come: no click had been taken.
        self.opened = clock.now()
        self._lock, self._mark = self._make_folder(root)
        #: From here on every listing of the spools shows this one. A slow disk may have taken
        #: long over it, and the lake may have been called complete meanwhile.
        self.visible = clock.now()
        try:
            self._segment = self._make_small_segment(1)
        except BaseException:
            # Nobody may know it yet, and one that is tried each second must not pile up.
            with suppress(OSError):
                layout.remove_spool(self._folder)
            os.close(self._mark)
            os.close(self._lock)
            raise
        self._keeper = Keeper(self._make_segment)
        self._keeper.prepare(2)

    def in_place(self) -> bool:
        return self._segment.in_place()

    def append(self, clicks: Sequence[Click], received: Sequence[Micros], low_water: Micros) -> int:
        now = self._clock.now()
        self._rotate(now)
        try:
            return self._commit(clicks, received, low_water, now)
        except (OSError, sqlite3.Error):
            # The segment that is ready has its room on the disk already: try there, once.
            ready = self._keeper.take()
            if ready is None:
                raise
            self._change(ready)
        return self._commit(clicks, received, low_water, now)

    def recover(self) -> None:
        """Make sure that a commit can succeed again."""
        self._rotate(self._clock.now())
        self._segment.reserve(_PROBE_BYTES)

    def mark(self, low_water: Micros) -> None:
        self._low_water = low_water
        _write_mark(self._mark, self._codec, low_water, self._acknowledged)

    def close(self) -> None:
        self._keeper.stop()
        for segment in (*self._left, self._segment):
            segment.close()
        os.close(self._mark)
        os.close(self._lock)

    def _commit(
        self, clicks: Sequence[Click], received: Sequence[Micros], low_water: Micros, now: Micros
    ) -> int:
        rows = []
        previous = self._acknowledged
        for start in range(0, len(clicks), spool_format.MAX_CLICKS):
            part = slice(start, start + spool_format.MAX_CLICKS)
            self._sequence += 1  # whatever happens, this number is used
            payload = spool_format.encode_clicks(clicks[part])
            if len(payload) > spool_format.MAX_PAYLOAD_BYTES:
                raise ValueError(f"a batch of {len(payload)} bytes is too long to be read again")
            last = start + spool_format.MAX_CLICKS >= len(clicks)
            header = self._codec.seal(
                payload,
                sequence=self._sequence,
                previous=previous,
                clicks=len(clicks[part]),
                first_received=min(received[part]),
                last_received=max(received[part]),
                low_water=low_water if last else self._low_water,
            )
            rows.append(Row(self._sequence, header, payload))
            previous = self._sequence
        try:
            self._segment.commit(rows, now)
        except BaseException as error:
            # A full disk refuses a write before anything is done. After any other failure, nobody
            # can say what the file holds: no batch is added to it any more.
            full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            self._sound = self._sound and full
            raise
        self._acknowledged = self._sequence
        for segment in self._left:
            self._keeper.retire(segment)
        self._left.clear()
        with suppress(OSError):  # the mark only lags: the batch is durable
            self.mark(low_water)
        return self._sequence

    def _rotate(self, now: Micros) -> None:
        """Go on to the next segment when the present one is full, old, or not to be trusted."""
        number = self._segment.number + 1
        if not self._sound:
            self._change(self._keeper.take(wait=True) or self._make_small_segment(number))
            return
        begun = self._segment.begun
        if begun is None:
            return
        if self._segment.used >= self._segment.capacity or now - begun >= self._segment_age:
            if ready := self._keeper.take():
                self._change(ready)
            else:  # never wait for it: the present segment can grow
                self._keeper.prepare(number)

    def _change(self, segment: SegmentWriter) -> None:
        self._left.append(self._segment)
        self._segment = segment
        self._sound = True
        self._keeper.prepare(segment.number + 1)

    def _make_segment(self, number: int) -> SegmentWriter:
        return SegmentWriter.create(
            self._folder, number, spool_id=self.id, capacity=self._segment_bytes
        )

    def _make_small_segment(self, number: int) -> SegmentWriter:
        capacity = min(_SMALL_BYTES, self._segment_bytes)
        return SegmentWriter.create(self._folder, number, spool_id=self.id, capacity=capacity)

    def _make_folder(self, root: Path) -> tuple[int, int]:
        """Make the folder, its lock and its mark; return the two descriptors.

        It gets its name when the lock is held: nobody finds it without an owner.
        """
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        making = root / (layout.NEW + self.id)
        making.mkdir(mode=0o700)
        handles: list[int] = []
        try:
            handles.append(layout.new_lock(making / layout.LOCK))
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            handles.append(os.open(making / layout.MARK, flags, 0o600))
            _write_mark(handles[1], self._codec, self.opened, 0)
            os.fsync(handles[1])
            durable.sync_folder(making)
            making.rename(self._folder)
            durable.sync_folder(root)
        except BaseException:
            for handle in handles:
                os.close(handle)
            for folder in (making, self._folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return handles[0], handles[1]


def _write_mark(
    handle: int, codec: spool_format.Codec, low_water: Micros, last_sequence: int
) -> None:
    mark = spool_format.Mark(low_water=low_water, last_sequence=last_sequence)
    os.pwrite(handle, codec.seal_mark(mark), 0)
