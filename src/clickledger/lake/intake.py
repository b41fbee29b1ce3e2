"""The clicks of one load: decoded, enriched, and written to files that are not committed yet."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from clickledger.enrich.model import Context
from clickledger.enrich.pipeline import enrich
from clickledger.lake import letters
from clickledger.lake.files import ROWS, FileWriter
from clickledger.lake.letters import Letter
from clickledger.lake.table import DataFile, Table
from clickledger.spool.model import Batch, Click

#: Clicks that are enriched while those before them are compressed, on the other core.
_PART = 12_500


@dataclass(slots=True)
class Intake:
    """Clicks with the row key of each, and what is not a click."""

    clicks: list[Click] = field(default_factory=list)
    spool_ids: list[str] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    def add(self, batch: Batch, buried: Collection[tuple[int, int]]) -> None:
        """Decode a batch; clicks at (sequence, position) in ``buried`` are left out."""
        positions, clicks, dead = letters.decode(batch)
        if buried:
            kept = [i for i, at in enumerate(positions) if (batch.sequence, at) not in buried]
            positions = [positions[i] for i in kept]
            clicks = [clicks[i] for i in kept]
        self.letters += dead
        self.clicks += clicks
        self.positions += positions
        self.sequences += [batch.sequence] * len(clicks)
        self.spool_ids += [batch.spool_id] * len(clicks)

    def prepare(self, table: Table, context: Context) -> list[DataFile]:
        """Enrich and write everything; what cannot become a row joins ``letters``."""
        files = _Files(table)
        try:
            with ThreadPoolExecutor(max_workers=1, thread_name_prefix="lake-write") as writing:
                written = [
                    writing.submit(files.write, rows)
                    for start in range(0, len(self.clicks), _PART)
                    if (rows := self._enrich(start, start + _PART, context)) is not None
                ]
                for part in written:
                    part.result()
            return files.close()
        except BaseException:
            files.abandon()
            raise

    def _enrich(self, start: int, end: int, context: Context) -> pa.Table | None:
        clicks = self.clicks[start:end]
        enriched, failed = enrich(clicks, context)
        for failure in failed:
            row = start + failure.position
            self.letters.append(
                letters.unfit(
                    failure,
                    self.clicks[row],
                    spool_id=self.spool_ids[row],
                    sequence=self.sequences[row],
                    position=self.positions[row],
                )
            )
        if not enriched.positions:
            return None
        columns = {
            **enriched.columns,
            "spool_id": pa.array(self.spool_ids[start:end], pa.string()),
            "sequence": pa.array(self.sequences[start:end], pa.int64()),
            "position": pa.array(self.positions[start:end], pa.int32()),
        }
        if failed:
            rows = pa.array(enriched.positions, pa.int64())
            for name in ("spool_id", "sequence", "position"):
                columns[name] = columns[name].take(rows)
        size = len(enriched.positions)
        filled = [
            columns[name] if name in columns else pa.nulls(size, kind)
            for name, kind in zip(ROWS.names, ROWS.types, strict=True)
        ]
        return pa.table(filled, schema=ROWS).append_column("event_date", columns["event_date"])


class _Files:
    """One file for each date; used by one thread at a time."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._writers: dict[date, FileWriter] = {}

    def write(self, rows: pa.Table) -> None:
        """Write rows to the files of their dates."""
        dates = rows["event_date"]
        rows = rows.drop_columns("event_date")
        days: Sequence[date] = pc.unique(dates).to_pylist()
        for day in days:
            if day not in self._writers:
                self._writers[day] = FileWriter(
                    self._table.path, ROWS, statistics=self._table.statistics, event_date=day
                )
            of_day = rows if len(days) == 1 else rows.filter(pc.equal(dates, day))
            self._writers[day].write(of_day)
            self._writers[day].flush()

    def close(self) -> list[DataFile]:
        """Finish all files."""
        return [writer.close() for _, writer in sorted(self._writers.items())]

    def abandon(self) -> None:
        """Remove all files."""
        for writer in self._writers.values():
            writer.abandon()
