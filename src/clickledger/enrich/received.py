"""Step ``received``: when the click came, and what it names."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from clickledger.clock import DAY
from clickledger.enrich.model import Columns, Context, UnfitError
from clickledger.spool.model import Click

_TIMESTAMP = pa.timestamp("us", tz="UTC")
#: 9999-12-31T23:59:59.999999Z: the last instant that every reader of the lake can show.
LAST_INSTANT = 253_402_300_799_999_999
_INT64_MAX = 2**63 - 1
#: The wire's limit (impact-api 0.2); ours have 32.
_CLICK_ID_CAP = 64


def received(clicks: Sequence[Click], _context: Context) -> Columns:
    """Return the times, the ids and the profile."""
    micros = [click.received for click in clicks]
    if not 0 <= min(micros) <= max(micros) <= LAST_INSTANT:
        raise UnfitError("bad_time", "the received time is not between 1970 and 9999")
    ids = {
        "program_id": [click.program_id for click in clicks],
        "media_id": [click.media_id for click in clicks],
        "ad_id": [click.ad_id for click in clicks],
    }
    for name, values in ids.items():
        if not 0 <= min(values) <= max(values) <= _INT64_MAX:
            raise UnfitError("bad_id", f"{name} is not between 0 and 2^63 - 1")
    click_ids = [click.click_id for click in clicks]
    if not 0 < min(map(len, click_ids)) <= max(map(len, click_ids)) <= _CLICK_ID_CAP:
        raise UnfitError("bad_click_id", f"the click id has not 1 to {_CLICK_ID_CAP} characters")
    instants = pa.array(micros, pa.int64())
    times = instants.cast(_TIMESTAMP)
    return {
        "event_date": pc.divide(instants, DAY).cast(pa.int32()).cast(pa.date32()),
        "event_time": times,
        "received_time": times,
        "click_id": pa.array(click_ids, pa.string()),
        **{name: pa.array(values, pa.int64()) for name, values in ids.items()},
        "reasons": pa.array([click.reasons or None for click in clicks], pa.list_(pa.string())),
    }
