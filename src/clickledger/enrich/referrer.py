"""Step ``referrer``: where the visitor came from."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import pyarrow as pa

from clickledger.enrich.model import Columns, Context
from clickledger.enrich.text import from_utf8
from clickledger.spool.model import Click

#: What the wire shows when there is no referring domain (impact-api 2.2).
NO_DOMAIN = "NA"


def referrer(clicks: Sequence[Click], _context: Context) -> Columns:
    """Return the referrer as text (not percent-decoded: it is a URL) and its host."""
    raws = [click.referrer for click in clicks]
    texts = {raw: from_utf8(raw) for raw in set(raws)}
    domains = {raw: domain(text) for raw, text in texts.items()}
    return {
        "referring_url": pa.array([texts[raw] or None for raw in raws], pa.string()),
        "referring_domain": pa.array([domains[raw] for raw in raws], pa.string()),
    }


def domain(url: str) -> str:
    """Return the host of a URL in lower case, without port and user; ``NA`` when it has none."""
    try:
        host = urlsplit(url).hostname
    except ValueError:  # brackets that hold no IPv6 address
        host = None
    return host.rstrip(".") or NO_DOMAIN if host else NO_DOMAIN
