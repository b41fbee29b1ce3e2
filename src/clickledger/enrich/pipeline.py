"""The steps in order, and how a batch runs through them."""

from collections.abc import Sequence

import pyarrow as pa

from clickledger.enrich.landing import landing
from clickledger.enrich.model import Columns, Context, Enriched, Failed, Step, UnfitError
from clickledger.enrich.names import names
from clickledger.enrich.query import query
from clickledger.enrich.raw import raw
from clickledger.enrich.received import received
from clickledger.enrich.referrer import referrer
from clickledger.enrich.unknown import device, place
from clickledger.enrich.visitor import visitor
from clickledger.spool.model import Click

#: To add a step: one file, one line here, one table test. No two steps give the same column.
STEPS: tuple[Step, ...] = (
    Step("received", received),
    Step("names", names),
    Step("query", query),
    Step("referrer", referrer),
    Step("visitor", visitor),
    Step("device", device),
    Step("place", place),
    Step("landing", landing),
    Step("raw", raw),
)

#: What data that breaks a rule nobody wrote down raises. Anything else is a defect or a lack of
#: memory, and no reason to set every click aside.
_DATA_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError)
_DETAIL_CAP = 500


class _StepError(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail[:_DETAIL_CAP]


def enrich(
    clicks: Sequence[Click], context: Context, steps: Sequence[Step] = STEPS
) -> tuple[Enriched, list[Failed]]:
    """Turn clicks into columns; those that cannot become a row are told apart.

    Works on the whole batch at once, and halves it only around a click that breaks a step.
    """
    failed: list[Failed] = []
    parts: list[tuple[range, Columns]] = []
    open_ranges = [range(len(clicks))]
    while open_ranges:
        span = open_ranges.pop()
        if not span:
            continue
        try:
            parts.append((span, _run(clicks[span.start : span.stop], context, steps)))
        except _StepError as error:
            if len(span) == 1:
                failed.append(Failed(span.start, error.reason, error.detail))
            else:
                middle = len(span) // 2
                open_ranges += (span[middle:], span[:middle])
    positions = [position for span, _ in parts for position in span]
    if len(parts) == 1:
        return Enriched(parts[0][1], positions), failed
    joined = {
        name: pa.concat_arrays([columns[name] for _, columns in parts])
        for name in (parts[0][1] if parts else ())
    }
    return Enriched(joined, positions), failed


def _run(clicks: Sequence[Click], context: Context, steps: Sequence[Step]) -> Columns:
    columns: dict[str, pa.Array] = {}
    for step in steps:
        try:
            columns.update(step.run(clicks, context))
        except UnfitError as error:
            raise _StepError(error.reason, str(error)) from error
        except _DATA_ERRORS as error:
            detail = f"{type(error).__name__}: {error}"
            raise _StepError(f"step_{step.name}", detail) from error
    return columns
