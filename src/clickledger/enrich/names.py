"""Step ``names``: what program, partner and ad were called when the click was loaded."""

from collections.abc import Callable, Sequence

import pyarrow as pa

from clickledger.enrich.model import Columns, Context
from clickledger.enrich.text import clean
from clickledger.spool.model import Click


def names(clicks: Sequence[Click], context: Context) -> Columns:
    """Return the names; null when the directory does not know the id (any more)."""

    def program_name(program_id: int) -> str | None:
        found = context.names.program(program_id)
        return clean(found.name) if found else None

    def media_name(media_id: int) -> str | None:
        found = context.names.partner(media_id)
        return clean(found.name) if found else None

    def ad_name(ad_id: int) -> str | None:
        found = context.names.ad(ad_id)
        return clean(found.name) if found else None

    def ad_type(ad_id: int) -> str | None:
        found = context.names.ad(ad_id)
        return clean(found.type) if found else None

    ad_ids = [click.ad_id for click in clicks]
    return {
        "program_name": _looked_up([click.program_id for click in clicks], program_name),
        "media_name": _looked_up([click.media_id for click in clicks], media_name),
        "ad_name": _looked_up(ad_ids, ad_name),
        "ad_type": _looked_up(ad_ids, ad_type),
    }


def _looked_up(ids: Sequence[int], name_of: Callable[[int], str | None]) -> pa.Array:
    found = {one: name_of(one) for one in set(ids)}
    return pa.array([found[one] for one in ids], pa.string())
