"""What an enrichment step gets and gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from clickledger.programs.model import Ad, Partner, Program
from clickledger.spool.model import Click


class Names(Protocol):
    """The read-only directory, as far as names are read from it."""

    def program(self, program_id: int) -> Program | None:
        """Return the program, or None when it is unknown."""

    def partner(self, partner_id: int) -> Partner | None:
        """Return the partner, or None when it is unknown."""

    def ad(self, ad_id: int) -> Ad | None:
        """Return the ad, or None when it is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What enrichment knows beside the clicks."""

    names: Names
    #: Key of the hashes that recognise a visitor; the newest of the ring ``visitor``.
    visitor_key: bytes


#: Columns by name, each as long as the batch.
Columns = Mapping[str, pa.Array]


@dataclass(frozen=True, slots=True)
class Step:
    """One named enrichment: raw clicks of a batch → columns of the lake.

    ``run`` is pure and raises UnfitError for a click that cannot become a row.
    """

    name: str
    run: Callable[[Sequence[Click], Context], Columns]


class UnfitError(Exception):
    """A click cannot become a row: says which rule it breaks."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        #: From a closed set: it labels a counter.
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Enriched:
    """The rows of a batch, column by column, in the order of ``positions``."""

    columns: Columns
    #: Index in the batch of each row.
    positions: Sequence[int]


@dataclass(frozen=True, slots=True)
class Failed:
    """One click that could not be enriched."""

    #: Index in the batch.
    position: int
    #: Which rule it breaks, or ``step_<name>`` when a step broke on it.
    reason: str
    detail: str
