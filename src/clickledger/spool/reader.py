"""The loader's side of the spool: read in order, release what is loaded."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

import msgspec

from clickledger import durable
from clickledger.clock import Micros
from clickledger.errors import UnavailableError
from clickledger.spool import layout
from clickledger.spool.contents import Contents
from clickledger.spool.model import (
    NOTHING_FOLLOWS,
    Batch,
    Chunk,
    Receipt,
    Released,
    SetAside,
)
from clickledger.spool.receipts import Receipts


class Spools:
    """All spools of one data folder. Keeps files open between reads: close it at the end."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sources: dict[str, Source] = {}

    def list(self) -> list["Source"]:
        """List the spools, oldest first; a spool stays the same object while it is there.

        Raises:
            UnavailableError: the folder of all spools is missing, or cannot be read. That is not
                the same as no spools: there may be clicks that nobody sees now.
        """
        try:
            found = layout.present_spool_folders(self._root)
        except OSError as error:
            raise UnavailableError(f"the spools cannot be listed: {error}") from error
        folders = {folder.name: folder for folder in found}
        for spool_id in set(self._sources) - set(folders):
            self._sources.pop(spool_id).close()
        for spool_id, folder in folders.items():
            if spool_id not in self._sources:
                self._sources[spool_id] = Source(folder)
        return [self._sources[spool_id] for spool_id in folders]

    def close(self) -> None:
        """Let go of all files and locks."""
        for source in self._sources.values():
            source.close()
        self._sources.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Source:
    """One spool as the loader sees it. Used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        #: The spool's id, never used again: the application id in the lake's log.
        self.id = folder.name
        self._folder = folder
        self._contents = Contents(folder)
        self._lock: int | None = None

    def owner_alive(self) -> bool:
        """Tell whether the process that writes this spool still runs.

        When it does not, its lock is taken and kept until ``close``: nobody else drains or removes
        the spool meanwhile. True also when another process took it before.
        """
        if self._lock is None:
            lock = layout.take_lock(self._folder / layout.LOCK)
            if lock is not None:
                self._contents.close()  # opened again, a log shows all that was committed
                try:
                    self._settle()
                except BaseException:
                    os.close(lock)  # not settled is not taken: the next look settles again
                    raise
                self._lock = lock
        return self._lock is None

    def read(self, after: int, limit_clicks: int) -> Chunk:
        """Read the batches behind number ``after``, until they hold ``limit_clicks`` clicks.

        Raises:
            UnavailableError: the spool cannot be read now.
        """
        try:
            return self._read(after, limit_clicks)
        except FileNotFoundError as error:
            # Another reader removed a segment that is loaded, or with the last one the spool.
            if not self._folder.exists():
                return _nothing_left(after)
            raise UnavailableError(f"spool {self.id} changed while it was read") from error
        except (OSError, sqlite3.Error) as error:
            raise UnavailableError(f"spool {self.id} cannot be read: {error}") from error

    def waiting(self, after: int) -> int:
        """Count the clicks behind number ``after``, from the batches' headers alone."""
        with suppress(FileNotFoundError):
            headers = self._contents.headers(settled=not self.owner_alive())
            return sum(header.clicks for header in headers if header.sequence > after)
        return 0

    def release(self, through: int, receipts: Receipts, now: Micros) -> Released:
        """Remove what is loaded: complete segments without a batch behind number ``through``.

        The receipts of their batches are on disk before the first file goes. The segment that is
        being written stays whole. When the owner is dead and everything is loaded, the spool goes.
        A segment that gave back less than was written moves to the folder ``set-aside`` instead.
        Doing it again, after a crash at any point, does the rest.

        Raises:
            UnavailableError: some of it may be left for the next time.
        """
        try:
            return self._release(through, receipts, now)
        except FileNotFoundError:
            return Released(segments=0, batches=0, clicks=0, spool_removed=False)
        except (OSError, sqlite3.Error) as error:
            raise UnavailableError(f"spool {self.id} cannot be released: {error}") from error

    def close(self) -> None:
        """Let go of files and of the lock."""
        self._contents.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _read(self, after: int, limit_clicks: int) -> Chunk:
        # In this order: the owner's end is final; what the mark promises is in the files already.
        settled = not self.owner_alive()
        mark = self._contents.mark()
        batches: list[Batch] = []
        corrupted: list[SetAside] = []
        clicks, last, exhausted = 0, after, True
        with closing(self._contents.entries(after, settled=settled)) as entries:
            for entry in entries:
                if clicks >= limit_clicks:
                    exhausted = False
                    break
                last = max(last, entry.sequence)
                clicks += entry.clicks
                if isinstance(entry, Batch):
                    batches.append(entry)
                else:
                    corrupted.append(entry)
        exhausted = exhausted and not self._contents.blocked
        low_water = batches[-1].low_water if batches else 0
        if exhausted:
            low_water = max(low_water, mark.low_water if mark else 0)
            if settled:
                low_water = NOTHING_FOLLOWS
        self._note_damage()
        return Chunk(
            batches=tuple(batches),
            corrupted=tuple(corrupted),
            last_sequence=last,
            low_water=low_water,
            exhausted=exhausted,
        )

    def _release(self, through: int, receipts: Receipts, now: Micros) -> Released:
        settled = not self.owner_alive()
        numbers = self._contents.begun(settled=settled)
        complete = numbers if settled else numbers[:-1]
        segments = batches = clicks = 0
        for number in complete:
            if not self._contents.done(number, through, settled=settled):
                break
            headers = list(self._contents.headers(settled=settled, only=number))
            self._note_damage()
            receipts.add(
                Receipt(
                    spool_id=self.id,
                    sequence=header.sequence,
                    clicks=header.clicks,
                    checksum=header.checksum,
                    first_received=header.first_received,
                    last_received=header.last_received,
                    released=now,
                )
                for header in headers
            )
            self._remove_segment(number)
            segments += 1
            batches += len(headers)
            clicks += sum(header.clicks for header in headers)
        if not settled and numbers:
            self._remove_orphans(numbers[-1])
        mark = self._contents.mark()
        removed = (
            settled
            and segments == len(complete)
            and (mark is None or mark.last_sequence <= through)
        )
        if removed:
            self._contents.close()
            layout.remove_spool(self._folder)
            self.close()
        return Released(segments=segments, batches=batches, clicks=clicks, spool_removed=removed)

    def _settle(self) -> None:
        """Make durable what the ended process left in the page cache.

        It may hold one commit that was never confirmed: once it is loaded, it must stay.
        """
        with suppress(FileNotFoundError):
            for number in layout.segment_numbers(self._folder):
                log = layout.companions(layout.segment_path(self._folder, number))[0]
                with suppress(FileNotFoundError):
                    _sync_file(log)

    def _note_damage(self) -> None:
        """Decide durably that a damaged segment will be kept: before it is reported."""
        for number, reason in self._contents.damaged.items():
            target = layout.set_aside_folder(self._folder.parent, self.id, number)
            if (target / layout.REASON).exists():
                continue
            target.mkdir(parents=True, exist_ok=True, mode=0o700)
            facts = {"spool_id": self.id, "segment": number, "reason": reason}
            durable.write(target / layout.REASON, msgspec.json.encode(facts))
            durable.sync_folder(target.parent)
            durable.sync_folder(self._folder.parent)

    def _remove_segment(self, number: int) -> None:
        path = layout.segment_path(self._folder, number)
        target = layout.set_aside_folder(self._folder.parent, self.id, number)
        self._contents.forget(number)
        if target.exists():
            # The segment goes last: while it is listed, an interrupted move goes on.
            for file in (*layout.companions(path), path):
                with suppress(FileNotFoundError):
                    file.rename(target / file.name)
            durable.sync_folder(target)
        else:
            # The segment goes first: a reader takes it for gone before its log is.
            for file in (path, *layout.companions(path)):
                file.unlink(missing_ok=True)
        durable.sync_folder(self._folder)

    def _remove_orphans(self, before: int) -> None:
        for number, path in layout.orphans(self._folder):
            if number < before:
                path.unlink(missing_ok=True)


def _nothing_left(after: int) -> Chunk:
    return Chunk(
        batches=(),
        corrupted=(),
        last_sequence=after,
        low_water=NOTHING_FOLLOWS,
        exhausted=True,
    )


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
