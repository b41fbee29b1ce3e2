"""The query of a tracking link: what is ours, what goes on to the landing page. Pure rules."""

import re
from enum import Enum, auto
from urllib.parse import quote_from_bytes

from clickledger.collector.landing import parameter_name
from clickledger.enrich.parameters import PARAMETERS, WITHOUT_COLUMN

#: Names that the link itself consumes, in lower case.
_OURS = frozenset(name.encode() for name in (*PARAMETERS, *WITHOUT_COLUMN))
#: Spellings remembered per link; visitors may write anything.
_NAMES_CACHED = 1000
#: Longer names than this, in bytes, are decided each time: one may take half a megabyte.
_LONGEST_CACHED = 256


class Fate(Enum):
    """What becomes of a parameter."""

    DEEP_LINK = auto()
    #: Recorded with the click only.
    KEEP_BACK = auto()
    #: Recorded, and passed on to the landing page.
    PASS_ON = auto()


#: Printable ASCII without space and ``#``: what a query may hold in a Location header.
_VISIBLE = re.compile(r"[!\"$-~]*")
_SAFE = "!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


class ParameterNames:
    """What is done with a parameter of a link, by its name; names are decided once."""

    __slots__ = ("_decided", "_reserved")

    def __init__(self, reserved: frozenset[bytes]) -> None:
        """``reserved``: names in lower case that only we may set; they are never passed on."""
        self._reserved = reserved
        self._decided: dict[bytes, Fate] = {}

    def fate(self, raw_name: bytes) -> Fate:
        """Decide by the raw name; encoded and mixed-case spellings are the same name."""
        fate = self._decided.get(raw_name)
        if fate is None:
            name = parameter_name(raw_name)
            if name == b"u":
                fate = Fate.DEEP_LINK
            elif name in _OURS or name in self._reserved:
                fate = Fate.KEEP_BACK
            else:
                fate = Fate.PASS_ON
            if len(raw_name) <= _LONGEST_CACHED:
                if len(self._decided) >= _NAMES_CACHED:
                    self._decided.clear()
                self._decided[raw_name] = fate
        return fate


def split_query(query: bytes, names: ParameterNames) -> tuple[bytes | None, str]:
    """Read a tracking link's raw query.

    Returns the raw value of the first ``u`` (None: there is none) and the parameters to pass on
    to the landing page, exactly as they came. Bytes that a header cannot carry are
    percent-encoded.
    """
    deep_link: bytes | None = None
    passed_on: list[bytes] = []
    fate_of = names.fate
    for part in query.split(b"&"):
        if not part:
            continue
        raw_name, _, value = part.partition(b"=")
        fate = fate_of(raw_name)
        if fate is Fate.PASS_ON:
            passed_on.append(part)
        elif fate is Fate.DEEP_LINK and deep_link is None:
            deep_link = value
    return deep_link, _header_safe(b"&".join(passed_on)) if passed_on else ""


def _header_safe(raw: bytes) -> str:
    """Return raw query bytes as they are, or percent-encoded where a header cannot carry them."""
    text = raw.decode("latin-1")
    return text if _VISIBLE.fullmatch(text) else quote_from_bytes(raw, safe=_SAFE)
