"""Steps ``device`` and ``place``: what is not derived yet reads as the wire's "unknown"."""

from collections.abc import Sequence

import pyarrow as pa

from clickledger.enrich.model import Columns, Context
from clickledger.spool.model import Click


def device(clicks: Sequence[Click], _context: Context) -> Columns:
    """Return ``UNKNOWN`` for device, browser and operating system (impact-api 2.3)."""
    unknown = pa.repeat("UNKNOWN", len(clicks))
    return dict.fromkeys(("device_type", "device_family", "browser", "os"), unknown)


def place(clicks: Sequence[Click], _context: Context) -> Columns:
    """Return ``n/a`` for the visitor's place (impact-api 2.2)."""
    nowhere = pa.repeat("n/a", len(clicks))
    return dict.fromkeys(
        ("customer_area", "customer_city", "customer_region", "customer_country"), nowhere
    )
