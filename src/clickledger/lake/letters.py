"""Dead letters: what could not become a row of ``clicks``, with its reason and raw bytes."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clickledger.clock import Micros
from clickledger.enrich.model import Failed
from clickledger.enrich.received import LAST_INSTANT
from clickledger.errors import CorruptedError
from clickledger.lake.files import FileWriter
from clickledger.lake.schema import DEAD_LETTERS
from clickledger.lake.table import DataFile, Table
from clickledger.spool import format as spool_format
from clickledger.spool.model import Batch, Click, SetAside

#: Stands for a whole batch.
WHOLE_BATCH = -1
#: Sequence, position, and of a batch the detail: several may have no readable number.
Identity = tuple[int, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter: a click, or a whole batch (position -1)."""

    spool_id: str
    sequence: int
    position: int
    #: How many clicks it stands for.
    clicks: int
    received: Micros | None
    #: From a closed set: it labels a counter.
    reason: str
    detail: str
    raw: bytes

    @property
    def of_click(self) -> bool:
        """Whether it stands for one click."""
        return self.position != WHOLE_BATCH

    @property
    def identity(self) -> Identity:
        """What makes it another letter than the next one."""
        return self.sequence, self.position, "" if self.of_click else self.detail


def decode(batch: Batch) -> tuple[list[int], list[Click], list[Letter]]:
    """Decode a batch's clicks: positions, clicks, and letters for what is not a click."""
    try:
        clicks = spool_format.decode_clicks(batch.payload)
    except CorruptedError:
        return _decode_singly(batch)
    return list(range(len(clicks))), clicks, []


def _decode_singly(batch: Batch) -> tuple[list[int], list[Click], list[Letter]]:
    def letter(position: int, clicks: int, error: CorruptedError, raw: bytes) -> Letter:
        return Letter(
            spool_id=batch.spool_id,
            sequence=batch.sequence,
            position=position,
            clicks=clicks,
            received=batch.first_received,
            reason="undecodable",
            detail=str(error),
            raw=raw,
        )

    try:
        raws = spool_format.split(batch.payload)
    except CorruptedError as error:
        return [], [], [letter(WHOLE_BATCH, batch.clicks, error, batch.payload)]
    positions, clicks, letters = [], [], []
    for position, raw in enumerate(raws):
        try:
            clicks.append(spool_format.decode_click(raw))
        except CorruptedError as error:
            letters.append(letter(position, 1, error, raw))
        else:
            positions.append(position)
    return positions, clicks, letters


def unfit(failed: Failed, click: Click, *, spool_id: str, sequence: int, position: int) -> Letter:
    """Make the letter of a click that could not be enriched."""
    return Letter(
        spool_id=spool_id,
        sequence=sequence,
        position=position,
        clicks=1,
        received=click.received,
        reason=failed.reason,
        detail=failed.detail,
        raw=msgspec.msgpack.encode(click),
    )


def set_aside(batch: SetAside) -> Letter:
    """Make the letter of a batch that cannot be believed."""
    return Letter(
        spool_id=batch.spool_id,
        sequence=batch.sequence,
        position=WHOLE_BATCH,
        clicks=batch.clicks,
        received=batch.first_received,
        reason=batch.reason,
        detail=batch.detail,
        raw=batch.raw,
    )


class DeadLetters:
    """The table ``dead_letters`` as the loader writes it; for one thread."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def refresh(self) -> None:
        """Read what was committed since."""
        self._table.refresh()

    def settle(self) -> None:
        """Make all letters that are known here durable, whoever committed them."""
        self._table.settle()

    def loaded(self, spool_id: str) -> int:
        """Return the last batch whose letters are certainly here."""
        return self._table.loaded(spool_id)

    def known(self, spool_id: str) -> set[Identity]:
        """Return the identity of every letter of one spool."""
        found: set[Identity] = set()
        for file in self._table.files():
            rows = pq.read_table(
                self._table.path / file.path,
                columns=["spool_id", "sequence", "position", "detail"],
                partitioning=None,
            )
            rows = rows.filter(pc.equal(rows["spool_id"], spool_id))
            columns = (rows[name].to_pylist() for name in ("sequence", "position", "detail"))
            for sequence, position, detail in zip(*columns, strict=True):
                found.add((sequence, position, detail if position == WHOLE_BATCH else ""))
        return found

    def record(
        self, letters: Collection[Letter], loaded: Mapping[str, int], now: Micros
    ) -> Counter[str]:
        """Commit letters, and through which batch each spool's letters are here now.

        Returns how many clicks were set aside by reason.

        Raises:
            CommitConflictError: somebody else committed since the last refresh; nothing happened.
        """
        file = self._write(letters, now)
        self._table.commit((file,), why="dead letters", loaded=loaded)
        self._table.refresh()
        counts: Counter[str] = Counter()
        for letter in letters:
            counts[letter.reason] += letter.clicks
        return counts

    def _write(self, letters: Iterable[Letter], now: Micros) -> DataFile:
        writer = FileWriter(self._table.path, DEAD_LETTERS, statistics=self._table.statistics)
        rows = [
            {
                "spool_id": letter.spool_id,
                "sequence": letter.sequence,
                "position": letter.position,
                "clicks": letter.clicks,
                "received_time": _instant(letter.received),
                "reason": letter.reason,
                "detail": letter.detail,
                "raw": letter.raw,
                "recorded_time": now,
            }
            for letter in letters
        ]
        writer.write(pa.Table.from_pylist(rows, schema=DEAD_LETTERS))
        return writer.close()


def _instant(received: Micros | None) -> Micros | None:
    """Leave out an instant that no reader could show."""
    return received if received is not None and 0 <= received <= LAST_INSTANT else None
