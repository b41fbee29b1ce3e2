"""A spool, a lake and the loader between them, in one folder and one process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clickledger.clock import Micros, SteadyClock, wall_clock
from clickledger.config import DataFolder
from clickledger.lake.lease import Lease
from clickledger.lake.loader import Loader, LoadReport
from clickledger.lake.store import Lake
from clickledger.metrics import Metrics
from clickledger.programs.directory import Directory, Records
from clickledger.programs.model import Ad, Partner, Program
from clickledger.spool import layout
from clickledger.spool.model import Click
from clickledger.spool.reader import Spools
from clickledger.spool.receipts import Receipts
from clickledger.spool.writer import Writer

VISITOR_KEY = b"visitor key of the tests 32 byte"


def directory() -> Directory:
    """Make the directory of one program (3), one partner (1) and one ad (2)."""
    return Directory(
        Records(
            version=1,
            programs=(
                Program(
                    id=3,
                    advertiser_sid="IRbrand",
                    name="Shoes",
                    time_zone="Europe/Berlin",
                    landing_page="https://shop.example/",
                ),
            ),
            partners=(Partner(id=1, sid="IRpartner", advertiser_sid="IRbrand", name="Blog"),),
            ads=(Ad(id=2, program_id=3, name="Banner", type="BANNER"),),
        )
    )


@dataclass(slots=True)
class Feed:
    """The open parts of one folder."""

    folder: DataFolder
    lake: Lake
    spools: Spools
    receipts: Receipts
    metrics: Metrics
    clock: Callable[[], Micros]
    batch_clicks: int = 50_000

    def writer(self, *, segment_bytes: int = 64 * 1024 * 1024) -> Writer:
        """Start a spool, as a collector does."""
        return Writer.open(
            self.folder.spool,
            segment_bytes=segment_bytes,
            segment_age_s=600.0,
            clock=SteadyClock(self.clock),
        )

    def spool(self, *batches: Sequence[Click]) -> str:
        """Write batches into a spool whose process then ends; return its id."""
        writer = self.writer()
        for batch in batches:
            writer.append(batch, max(click.received for click in batch))
        spool_id = writer.spool_id
        writer.close()
        return spool_id

    def loader(self) -> Loader:
        """Open a loader."""
        return Loader(
            lake=self.lake,
            spools=self.spools,
            receipts=self.receipts,
            lease=self.lease,
            mark=self.folder.watermark,
            names=directory,
            visitor_key=VISITOR_KEY,
            batch_clicks=self.batch_clicks,
            metrics=self.metrics,
            clock=self.clock,
        )

    @property
    def lease(self) -> Lease:
        """The lake's lease."""
        return Lease(self.folder.locks / "lake")

    def load(self) -> LoadReport:
        """Load everything with a loader of its own; return what its last load said."""
        loader = self.loader()
        while not (report := loader.load_once()).exhausted:
            pass
        return report

    def rows(self, *columns: str) -> list[dict[str, object]]:
        """Read ``clicks`` in the order of the row key."""
        return stored(self.lake, *columns)

    def letters(self) -> list[dict[str, object]]:
        """Read ``dead_letters`` in the order of the row key."""
        table = self.lake.dead_letters()
        return _rows([table.path / file.path for file in table.files()], ())


@contextmanager
def feed(root: Path, *, clock: Callable[[], Micros] = wall_clock) -> Iterator[Feed]:
    """Open a folder with an empty spool and an empty lake, or the one that is there."""
    folder = DataFolder(root)
    folder.spool.mkdir(parents=True, exist_ok=True)
    with (
        Spools(folder.spool) as spools,
        Receipts(folder.spool / layout.RECEIPTS) as receipts,
    ):
        yield Feed(
            folder=folder,
            lake=Lake.open(str(folder.lake)),
            spools=spools,
            receipts=receipts,
            metrics=Metrics(),
            clock=clock,
        )


def stored(lake: Lake, *columns: str) -> list[dict[str, object]]:
    """Read ``clicks`` in the order of the row key."""
    return _rows([file.path for file in lake.snapshot().all_files], columns)


def _rows(paths: Sequence[Path], columns: Sequence[str]) -> list[dict[str, object]]:
    key = ("spool_id", "sequence", "position")
    names = list(dict.fromkeys((*key, *columns))) if columns else None
    tables = [pq.read_table(path, columns=names, partitioning=None) for path in paths]
    if not tables:
        return []
    table = pa.concat_tables(tables).sort_by([(name, "ascending") for name in key])
    found: list[dict[str, object]] = table.to_pylist()
    return found
