"""What the parent and the writing process say to each other: one JSON document a line."""

from dataclasses import dataclass

import msgspec

from clickledger.exports.model import Plan, SliceDone


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to write, from parent to child; nothing follows it until the parent is gone."""

    plan: Plan
    #: Slices whose files are there already.
    finished: tuple[SliceDone, ...]
    #: Where the parts go.
    folder: str
    #: Where the query engine may spill; of this process alone.
    scratch: str
    #: Slices to write at a time.
    parallel: int
    #: Of the query engine, for each slice that is being written.
    memory_mb: int
    #: CPU priority, as ``nice`` counts.
    niceness: int
    #: Process to die with.
    parent: int


class Written(msgspec.Struct, frozen=True, tag="written"):
    """A slice is durable."""

    index: int
    rows: int
    bytes: int


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """Every part is durable."""

    #: Of the parts one after the other, in hexadecimal.
    sha256: str
    rows: int
    #: Bytes before the first slice and after the last.
    head: int
    foot: int


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Nothing more comes."""

    message: str
    #: The disk has no room.
    full: bool = False
    #: Files of the lake are gone.
    gone: bool = False


Report = Written | Finished | Failed


def encode(message: Order | Report) -> bytes:
    """Write one line."""
    return msgspec.json.encode(message) + b"\n"


def decode_order(line: bytes) -> Order:
    """Read the parent's line."""
    return msgspec.json.decode(line, type=Order)


def decode_report(line: bytes) -> Report:
    """Read a line of the child."""
    return msgspec.json.decode(line, type=Written | Finished | Failed)
