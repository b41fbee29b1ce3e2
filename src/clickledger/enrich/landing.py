"""Step ``landing``: where the visitor was sent."""

from collections.abc import Sequence

import pyarrow as pa

from clickledger.enrich.model import Columns, Context
from clickledger.enrich.text import clean
from clickledger.spool.model import Click


def landing(clicks: Sequence[Click], _context: Context) -> Columns:
    """Return the landing URL that was answered, click id included."""
    return {
        "landing_page_url": pa.array(
            [clean(click.landing_url) or None for click in clicks], pa.string()
        )
    }
