"""Step ``raw``: the request as received, byte by byte; nothing sent is null."""

from collections.abc import Sequence

import pyarrow as pa

from clickledger.enrich.model import Columns, Context
from clickledger.enrich.text import cleaned_column
from clickledger.spool.model import Click


def raw(clicks: Sequence[Click], _context: Context) -> Columns:
    """Return path, query, address and headers."""
    return {
        "path": pa.array([click.path or None for click in clicks], pa.binary()),
        "raw_query": pa.array([click.query or None for click in clicks], pa.binary()),
        "user_agent": pa.array([click.user_agent or None for click in clicks], pa.binary()),
        "referrer": pa.array([click.referrer or None for click in clicks], pa.binary()),
        "client_address": cleaned_column(click.address for click in clicks),
        "sec_fetch_site": pa.array([click.sec_fetch_site or None for click in clicks], pa.binary()),
        "sec_fetch_mode": pa.array([click.sec_fetch_mode or None for click in clicks], pa.binary()),
        "sec_fetch_dest": pa.array([click.sec_fetch_dest or None for click in clicks], pa.binary()),
        "sec_fetch_user": pa.array([click.sec_fetch_user or None for click in clicks], pa.binary()),
        "gpc": pa.array([click.gpc or None for click in clicks], pa.binary()),
        "accept_language": pa.array(
            [click.accept_language or None for click in clicks], pa.binary()
        ),
    }
