"""A process that follows a lake for click postbacks, to be killed."""

from pathlib import Path

from clickledger.clock import SteadyClock
from clickledger.config import DataFolder
from clickledger.db.engine import open_engine
from clickledger.lake.store import Lake
from clickledger.postbacks.clicks import ClickPostbacks

#: Small, so that one load is many transactions.
_PIECE = 25


def follower(root: Path) -> ClickPostbacks:
    """Open the follower of a folder, over the control database that is there."""
    folder = DataFolder(root)
    return ClickPostbacks(
        engine=open_engine(f"sqlite:///{folder.control_db}"),
        lake=Lake.open(str(folder.lake)),
        mark=folder.watermark,
        clock=SteadyClock(),
        piece=_PIECE,
    )


def follow(root: Path) -> None:
    """Follow without end and without a pause."""
    one = follower(root)
    while True:
        one.look()
