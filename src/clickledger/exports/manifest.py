"""The manifest beside a result: what was asked for, what it holds, its checksum.

Only facts of the plan and the parts: the same plan gives the same manifest, whenever it is run.
"""

from datetime import date
from pathlib import Path

import msgspec

from clickledger import durable
from clickledger.clock import SECOND, to_datetime
from clickledger.errors import CorruptedError, NotFoundError
from clickledger.exports import parts
from clickledger.exports.model import Plan, ResultFormat
from clickledger.lake import unique


class UniqueRule(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What UniqueClick means in this file."""

    window_seconds: int
    #: ROLLING: counted from the visitor's last click, unique or not.
    type: str


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One file of the result; the parts one after the other are the export."""

    name: str
    rows: int
    bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What a result holds; names in the document are in Pascal case, as on the wire.

    Instants are UTC in ISO 8601, with microseconds where there are any.
    """

    account_sid: str
    program_id: int
    date: date
    time_zone: str
    #: The program's day, half open.
    start: str
    end: str
    ad_ids: tuple[int, ...]
    media_ids: tuple[int, ...]
    unique_click: bool | None
    format: ResultFormat
    columns: tuple[str, ...]
    hide_sub_ids: bool
    formula_guard: bool
    unique_rule: UniqueRule
    lake_version: int
    #: The lake held every click received before this instant.
    complete_through: str | None
    rows: int
    bytes: int
    #: Of the parts one after the other, in hexadecimal.
    sha256: str
    parts: tuple[Part, ...]
    warnings: tuple[str, ...]


def describe(plan: Plan, written: tuple[Part, ...], sha256: str) -> Manifest:
    """Describe a finished result."""
    request = plan.request
    return Manifest(
        account_sid=request.account_sid,
        program_id=request.program_id,
        date=request.date,
        time_zone=request.time_zone,
        start=_text(plan.start),
        end=_text(plan.end),
        ad_ids=request.ad_ids,
        media_ids=request.media_ids,
        unique_click=request.unique_click,
        format=request.result_format,
        columns=tuple(column.name for column in plan.columns),
        hide_sub_ids=plan.hide_sub_ids,
        formula_guard=plan.formula_guard,
        unique_rule=UniqueRule(window_seconds=unique.WINDOW // SECOND, type="ROLLING"),
        lake_version=plan.lake_version,
        complete_through=None if plan.complete_through is None else _text(plan.complete_through),
        rows=sum(part.rows for part in written),
        bytes=sum(part.bytes for part in written),
        sha256=sha256,
        parts=written,
        warnings=plan.warnings,
    )


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest; from now on the folder holds a whole result."""
    durable.sync_folder(folder)  # the names of the parts first
    # And the folder's own: a job that is COMPLETED after a power cut must have its file.
    durable.sync_folder(folder.parent)
    durable.sync_folder(folder.parent.parent)
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    durable.write(folder / parts.MANIFEST, text + b"\n")


def read(folder: Path) -> Manifest:
    """Read the manifest of a result.

    Raises:
        NotFoundError: there is no whole result in this folder.
        CorruptedError: the manifest cannot be read.
    """
    try:
        text = (folder / parts.MANIFEST).read_bytes()
    except FileNotFoundError:
        raise NotFoundError("there is no result here") from None
    try:
        return msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise CorruptedError(f"the manifest of a result cannot be read: {error}") from None


def _text(instant: int) -> str:
    return to_datetime(instant).isoformat().replace("+00:00", "Z")
