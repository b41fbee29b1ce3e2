"""``clickledger init``: make a new data folder."""

from clickledger.cli.options import Data


def init(data: Data) -> None:
    """Make a new data folder: databases and keys."""
    raise NotImplementedError(data)
