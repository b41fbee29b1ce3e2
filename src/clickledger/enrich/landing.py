"""Step ``landing``: where the visitor was sent."""

from collections.abc import Sequence

from clickledger.enrich.model import Columns, Context
from clickledger.enrich.text import cleaned_column
from clickledger.spool.model import Click


def landing(clicks: Sequence[Click], _context: Context) -> Columns:
    """Return the landing URL that was answered, click id included."""
    return {"landing_page_url": cleaned_column(click.landing_url for click in clicks)}
