"""Clicks to put into a spool, and a loader in miniature to take them out again."""

import time
from pathlib import Path

from clickledger.clock import Micros
from clickledger.spool import format as spool_format
from clickledger.spool.model import Click, Receipt, SetAside
from clickledger.spool.reader import Source, Spools
from clickledger.spool.receipts import Receipts
from clickledger.spool.writer import Writer


def click(number: int, received: Micros = 1_700_000_000_000_000, **values: object) -> Click:
    """Make click ``number``; ``values`` replaces any of its fields."""
    fields: dict[str, object] = {
        "received": received,
        "click_id": f"{number:032}",
        "program_id": 3,
        "media_id": 1,
        "ad_id": 2,
        "path": b"/c/1/2/3",
        "query": b"subId1=%d" % number,
        "user_agent": b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "referrer": b"https://blog.example/shoes",
        "address": "198.51.100.7",
        "profile_id": "01234567-89ab-4def-8123-0123456789ab",
        "profile_carried": False,
        "landing_url": f"https://shop.example/start?irclickid={number:032}&irgwc=1",
    }
    return Click(**{**fields, **values})  # type: ignore[arg-type] # each name is a field


class Drain:
    """A loader without a lake: remembers through which batch each spool was taken.

    ``clicks`` are the numbers of the clicks as they came. ``step`` may be cut short anywhere: what
    was taken is remembered before anything is released, as a lake would.
    """

    def __init__(self, root: Path, *, chunk_clicks: int = 1000) -> None:
        self.clicks: list[int] = []
        self.set_aside: list[SetAside] = []
        self._root = root
        self._spools = Spools(root)
        self._loaded: dict[str, int] = {}
        self._chunk_clicks = chunk_clicks
        self._receipts = Receipts(root / "receipts.db")

    def step(self, *, release: bool = True) -> bool:
        """Take one chunk of each spool; True when nothing was left in any of them."""
        exhausted = True
        for source in self._spools.list():
            chunk = source.read(self._loaded.get(source.id, 0), self._chunk_clicks)
            for batch in chunk.batches:
                found = spool_format.decode_clicks(batch.payload)
                self.clicks += [int(one.click_id) for one in found]
            self.set_aside += chunk.corrupted
            self._loaded[source.id] = chunk.last_sequence
            if release:
                self.release(source)
            exhausted = exhausted and chunk.exhausted
        return exhausted

    def all(self) -> list[int]:
        """Take everything there is now; return the numbers of all clicks taken so far."""
        while not self.step():
            pass
        return self.clicks

    def release(self, source: Source) -> None:
        """Let the spool remove what was taken."""
        source.release(self._loaded.get(source.id, 0), self._receipts, now=0)

    def receipts(self) -> list[Receipt]:
        """Read all receipts."""
        return list(self._receipts.iterate())

    def restart(self) -> None:
        """Forget everything that a process forgets when it ends."""
        self._spools.close()
        self._spools = Spools(self._root)

    def close(self) -> None:
        """Let go of all files."""
        self._spools.close()
        self._receipts.close()


class HandClock:
    """A clock that stands still until it is moved: pass ``read`` to ``SteadyClock``."""

    def __init__(self, now: Micros = 1_700_000_000_000_000) -> None:
        self.now = now

    def read(self) -> Micros:
        """Read the instant."""
        return self.now


def until_ready(writer: Writer, within_s: float = 10.0) -> None:
    """Wait until a writer has its next segment ready, which it makes in the background."""
    deadline = time.monotonic() + within_s
    spool = writer._spool  # noqa: SLF001 - tests look inside
    while spool is not None and spool._keeper._ready is None:  # noqa: SLF001 - the same
        if time.monotonic() > deadline:
            raise TimeoutError("the next segment of the spool is not ready")
        time.sleep(0.002)
