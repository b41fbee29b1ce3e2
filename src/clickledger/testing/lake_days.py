"""A real lake with made-up clicks: files as the loader leaves them, and as closing a day does."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa

from clickledger.clock import Micros, to_datetime
from clickledger.lake import unique
from clickledger.lake.files import (
    ROWS,
    SORT_COLUMNS,
    SORTED_PREFIX,
    FileWriter,
    Margin,
    SortKey,
    sorted_footer,
)
from clickledger.lake.store import Lake

SPOOL = "0198aaaa0000-0123456789abcdef"

Row = Mapping[str, object]


def click(number: int, event_time: Micros, **values: object) -> dict[str, object]:
    """Make up the ``number``-th click of a spool, as the loader would store it."""
    row: dict[str, object] = dict.fromkeys(ROWS.names)
    row |= {
        "spool_id": SPOOL,
        "sequence": number // 40 + 1,
        "position": number % 40,
        "event_time": event_time,
        "received_time": event_time,
        "click_id": f"click-{number:010}",
        "program_id": 1000,
        "program_name": "Acme Store",
        "profile_id": f"profile-{number // 3}",
        "ip_address": f"{number // 3:032x}",
        "media_id": 10 + number % 3,
        "media_name": f"Partner {number % 3}",
        "ad_id": 500 + number % 2,
        "ad_name": f"Banner {number % 2}",
        "ad_type": "BANNER",
        "device_type": "UNKNOWN",
        "referring_domain": "NA",
        "landing_page_url": f"https://shop.example/?irclickid=click-{number:010}&irgwc=1",
        "sub_id1": f"sub-{number}",
        "profile_carried": number % 3 != 0,
        "visitor": (number // 3).to_bytes(16, "big"),
        "user_agent": b"Mozilla/5.0",
    }
    return row | values


class LakeDays:
    """Puts clicks into a lake. The caller is the only writer."""

    def __init__(self, root: Path) -> None:
        self.lake = Lake.open(str(root))

    def load(self, rows: Iterable[Row]) -> None:
        """Add clicks as the loader does: any order, not judged, a file for each UTC date."""
        self._add(rows, closed=False)

    def close(self, rows: Iterable[Row]) -> None:
        """Add clicks as closing a day leaves them: in order, unique clicks judged."""
        self._add(rows, closed=True)

    def _add(self, rows: Iterable[Row], *, closed: bool) -> None:
        by_date: dict[date, list[Row]] = defaultdict(list)
        for row in rows:
            event_time = row["event_time"]
            assert isinstance(event_time, int)  # noqa: S101 - the column's type
            by_date[to_datetime(event_time).date()].append(row)
        table = self.lake.clicks()
        files = []
        for event_date, clicks in sorted(by_date.items()):
            data = pa.Table.from_pylist([dict(row) for row in clicks], schema=ROWS)
            writer = FileWriter(
                table.path,
                ROWS,
                statistics=table.statistics,
                event_date=event_date,
                prefix=SORTED_PREFIX if closed else "part-",
            )
            if closed:
                data = judged(data)
                first, last = _key(data, 0), _key(data, len(data) - 1)
                writer.write(data)
                files.append(writer.close(sorted_footer(first, last, Margin(rows=0, files=""))))
            else:
                writer.write(data)
                files.append(writer.close())
        table.commit(files, why="made up")


def judged(data: pa.Table) -> pa.Table:
    """Put clicks in the order of closed days and judge which are unique."""
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.register("given", data.drop(["unique_click"]))
        query = unique.unique_sql("given", -(2**53))
        order = ", ".join(f'"{column}"' for column in SORT_COLUMNS)
        found = engine.sql(f"SELECT * FROM ({query}) ORDER BY {order}").to_arrow_table()
    return found.select(ROWS.names).cast(ROWS)


def _key(data: pa.Table, row: int) -> SortKey:
    values = {name: data[name][row] for name in SORT_COLUMNS}
    return SortKey(
        program_id=values["program_id"].as_py(),
        event_time=values["event_time"].cast(pa.int64()).as_py(),
        spool_id=values["spool_id"].as_py(),
        sequence=values["sequence"].as_py(),
        position=values["position"].as_py(),
    )
