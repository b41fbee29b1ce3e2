"""The process that writes an export: ``python -m clickledger.exports.writer``.

A process of its own, so that its memory is bounded and goes back to the system, its priority is
low, and killing it harms nothing. It reads an ``Order`` from stdin, writes slices with as many
single-threaded query engines as told, and reports each slice, in order, on stdout once it is
durable. It ends when its parent does. It imports little: no Arrow, no Delta.
"""

import errno
import hashlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path

import duckdb

from clickledger import process
from clickledger.errors import CorruptedError
from clickledger.exports import orders, parts, queries
from clickledger.exports.cells import cells
from clickledger.exports.formats.registry import FORMATS
from clickledger.exports.model import Slice

_CHUNK = 1024 * 1024

#: Clicks that are judged at one go. More of them share the half hour before them, which is read
#: as well; fewer fit into memory.
_JUDGED_ROWS = 250_000
#: Times the usual memory that a slice may take before the export fails.
_MOST_MEMORY = 16

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Writing:
    """Writes the parts of one order."""

    def __init__(self, order: orders.Order, report: Callable[[orders.Report], None]) -> None:
        self._order = order
        self._plan = order.plan
        self._report = report
        self._folder = Path(order.folder)
        self._format = FORMATS[order.plan.request.result_format]
        #: Slice and its rows, or what went wrong.
        self._written: queue.Queue[tuple[int, int] | Exception] = queue.Queue()
        #: Slices that one engine writes one after the other.
        self._todo: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        #: Rows of slices that were written before their turn.
        self._waiting: dict[int, int] = {}
        self._sha256 = hashlib.sha256()

    def run(self) -> None:
        """Write every part that is not there yet, and report."""
        plan = self._plan
        finished = {one.index: one for one in self._order.finished}
        for batch in batches(plan.slices, finished):
            self._todo.put(batch)
        writers = [
            threading.Thread(target=self._write_slices, args=(number,), daemon=True)
            for number in range(min(self._order.parallel, self._todo.qsize()))
        ]
        for writer in writers:
            writer.start()
        rows, head = 0, 0
        if plan.exact:
            head = self._write_text(0, self._head(plan.rows))
        for index in range(len(plan.slices)):
            if index in finished:
                rows += finished[index].rows
            else:
                done = self._seal(index, self._await(index), is_first=rows == 0)
                rows += done.rows
                self._report(done)
            if plan.exact:
                self._hash(index + 1)
        if not plan.exact:
            head = self._write_text(0, self._head(rows))
            for index in range(len(plan.slices)):
                self._hash(index + 1)
        for writer in writers:
            writer.join()
        foot = self._write_text(len(plan.slices) + 1, self._format.foot(rows))
        self._report(
            orders.Finished(sha256=self._sha256.hexdigest(), rows=rows, head=head, foot=foot)
        )

    def _write_slices(self, number: int) -> None:
        """Take slices one after the other and write each to a file without its final name."""
        try:
            with self._engine(number) as connection:
                while True:
                    batch = self._todo.get_nowait()
                    pieces = [self._plan.slices[index] for index in batch]
                    if not pieces[0].direct:
                        self._retrying(connection, queries.judge(self._plan, pieces))
                    for index in batch:
                        self._written.put((index, self._copy(connection, index)))
        except queue.Empty:
            return
        except Exception as error:  # noqa: BLE001 - raised again where parts are put in order
            self._written.put(error)

    def _engine(self, number: int) -> duckdb.DuckDBPyConnection:
        scratch = Path(self._order.scratch, str(number))
        scratch.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect(
            config={
                "threads": 1,  # rows keep their order without being held back
                "memory_limit": f"{self._order.memory_mb}MB",
                "temp_directory": str(scratch),
                # A slice is read once: cached files would only push out what is being written.
                "enable_external_file_cache": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )
        connection.execute("SET enable_progress_bar = false")
        return connection

    def _copy(self, connection: duckdb.DuckDBPyConnection, index: int) -> int:
        plan = self._plan
        piece = plan.slices[index]
        row = cells(plan.columns, piece.offset_seconds, hide_sub_ids=plan.hide_sub_ids)
        select = self._format.select(row, plan.formula_guard)
        rows = queries.slice_rows(plan, piece, select)
        path = str(self._unfinished(index + 1))
        written = self._retrying(connection, queries.copy(rows, path, self._format.copy_options))
        exact = plan.request.unique_click is None or piece.direct
        if written > piece.rows or (exact and written < piece.rows):
            raise CorruptedError(f"slice {index} holds {written} clicks, {piece.rows} were counted")
        return written

    def _retrying(self, connection: duckdb.DuckDBPyConnection, sql: str) -> int:
        """Run a statement, with more memory if rows turn out to be long; return how many."""
        memory_mb = self._order.memory_mb
        while True:
            try:
                answer = connection.execute(sql).fetchone()
            except duckdb.OutOfMemoryException:
                memory_mb *= 2
                if memory_mb > _MOST_MEMORY * self._order.memory_mb:
                    raise
                connection.execute(f"SET memory_limit = '{memory_mb}MB'")
            else:
                assert answer is not None  # noqa: S101 - it answers the number of its rows
                return int(answer[0])

    def _await(self, index: int) -> int:
        """Wait until a slice is written; return its rows."""
        while index not in self._waiting:
            found = self._written.get()
            if isinstance(found, Exception):
                raise found
            written, rows = found
            self._waiting[written] = rows
        return self._waiting.pop(index)

    def _seal(self, index: int, rows: int, *, is_first: bool) -> orders.Written:
        """Make a written slice durable under its final name."""
        path = self._unfinished(index + 1)
        handle = os.open(path, os.O_RDWR)
        try:
            if is_first and rows and self._format.first_byte:
                os.pwrite(handle, self._format.first_byte, 0)
            os.fsync(handle)
            size = os.fstat(handle).st_size
        finally:
            os.close(handle)
        path.rename(self._folder / parts.part_name(index + 1))
        return orders.Written(index=index, rows=rows, bytes=size)

    def _write_text(self, number: int, text: bytes) -> int:
        """Write what stands before or after the slices; return its length."""
        self._sha256.update(text)
        if text:
            path = self._unfinished(number)
            with path.open("wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            path.rename(self._folder / parts.part_name(number))
        return len(text)

    def _head(self, rows: int) -> bytes:
        return self._format.head([column.name for column in self._plan.columns], rows)

    def _hash(self, number: int) -> None:
        """Take a part into the checksum: read back, it is still in memory."""
        buffer = bytearray(_CHUNK)
        view = memoryview(buffer)
        with (self._folder / parts.part_name(number)).open("rb", buffering=0) as file:
            while read := file.readinto(buffer):
                self._sha256.update(view[:read])

    def _unfinished(self, number: int) -> Path:
        return self._folder / parts.unfinished_name(number, os.getpid())


def batches(slices: Sequence[Slice], finished: Container[int]) -> Iterator[list[int]]:
    """Group unfinished slices: those to be judged share the work of it with their neighbours."""
    batch: list[int] = []
    rows = 0
    for index, piece in enumerate(slices):
        if index in finished:
            continue
        joins = (
            batch
            and batch[-1] == index - 1
            and not piece.direct
            and not slices[index - 1].direct
            and rows + piece.rows <= _JUDGED_ROWS
        )
        if batch and not joins:
            yield batch
            batch, rows = [], 0
        batch.append(index)
        rows += piece.rows
    if batch:
        yield batch


def main() -> int:
    """Write what stdin orders; exit status 0 when every part is durable."""
    order = orders.decode_order(sys.stdin.buffer.readline())
    process.die_with_parent(order.parent)
    process.give_way(order.niceness)
    reports = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no report

    def report(message: orders.Report) -> None:
        os.write(reports, orders.encode(message))

    try:
        Writing(order, report).run()
    except Exception as error:  # noqa: BLE001 - told to the parent, whatever it is
        report(_failure(order, error))
        return 1
    return 0


def _failure(order: orders.Order, error: Exception) -> orders.Failed:
    message = f"{type(error).__name__}: {error}"
    number = error.errno if isinstance(error, OSError) else None
    full = number in _NO_ROOM or any(os.strerror(one) in message for one in _NO_ROOM)
    gone = any(not Path(path).exists() for path in order.plan.files)
    return orders.Failed(message=message, full=full, gone=gone)


if __name__ == "__main__":
    # Not sys.exit: after a failure engines still run, and would be torn down under their threads.
    os._exit(main())
