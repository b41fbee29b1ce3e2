"""The query of a tracking link: what is ours, what goes on to the landing page. Pure rules."""

import re
from urllib.parse import quote_from_bytes

from clickledger.collector.landing import parameter_name

#: Names that the link itself consumes, in lower case: recorded, not passed on (impact-api 5.3).
CONSUMED = frozenset(
    {
        b"u",
        b"subid1",
        b"subid2",
        b"subid3",
        b"sharedid",
        b"prodsku",
        b"param1",
        b"param2",
        b"param3",
        b"param4",
        b"partnerpropertyid",
        b"adcampaign",
        b"adgroup",
        b"keyword",
        b"matchtype",
        b"channel",
        b"trafsrc",
        b"trafcat",
        b"bidkw",
        b"searchtxt",
    }
)

#: Printable ASCII without space and ``#``: what a query may hold in a Location header.
_VISIBLE = re.compile(r"[!\"$-~]*")
_SAFE = "!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def split_query(query: bytes, reserved: frozenset[bytes]) -> tuple[bytes | None, str]:
    """Read a tracking link's raw query.

    Returns the raw value of the first ``u`` (None: there is none) and the parameters to pass on
    to the landing page, exactly as they came. ``reserved`` names are never passed on.
    Bytes outside printable ASCII are percent-encoded, so that the result fits in a header.
    """
    deep_link: bytes | None = None
    passed_on: list[bytes] = []
    for part in query.split(b"&"):
        if not part:
            continue
        raw_name, _, value = part.partition(b"=")
        name = parameter_name(raw_name)
        if name in CONSUMED:
            if name == b"u" and deep_link is None:
                deep_link = value
        elif name not in reserved:
            passed_on.append(part)
    return deep_link, _header_safe(b"&".join(passed_on)) if passed_on else ""


def _header_safe(raw: bytes) -> str:
    """Return raw query bytes as they are, or percent-encoded where a header cannot carry them."""
    text = raw.decode("latin-1")
    return text if _VISIBLE.fullmatch(text) else quote_from_bytes(raw, safe=_SAFE)
