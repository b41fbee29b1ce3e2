"""Deep links: which targets of ``u`` a visitor may be sent to. Pure rules.

The link is parsed once, strictly, the way a browser would not: anything that two parsers
could read differently is refused (field-standards, e). A refused link is not an error for
the visitor: the fallback landing page is used and the click carries ``bad_deeplink``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

import idna

#: Scheme and authority, then the rest. No backslash, space, control or userinfo gets through
#: the character class of the authority; an IPv6 literal does not either.
_URL = re.compile(r"(https?)://([^/?#\\@\s%\[\]<>\"^`{}|]+)([/?#].*)?", re.IGNORECASE | re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_PORT = {"http": "80", "https": "443"}
#: What stays as it is in a serialised URL; ``{}`` so that macros survive until they are filled.
_SAFE = "!#$%&'()*+,-./:;=?@[]_~{}"


@dataclass(frozen=True, slots=True)
class DeepLinkRules:
    """Where the deep links of one program may lead."""

    exact: frozenset[str]
    #: ``.example.com`` for ``*.example.com``.
    suffixes: tuple[str, ...]
    #: Plain http is accepted only where the program itself uses it.
    schemes: frozenset[str]

    @classmethod
    def of(cls, domains: Sequence[str], landing_page: str) -> "DeepLinkRules":
        """Compile a program's list; hosts are lower-case ASCII already."""
        plain = landing_page[:5].lower() == "http:"
        return cls(
            exact=frozenset(host for host in domains if not host.startswith("*.")),
            suffixes=tuple(host[1:] for host in domains if host.startswith("*.")),
            schemes=frozenset({"http", "https"} if plain else {"https"}),
        )

    def accept(self, raw: bytes) -> str | None:
        """Return the deep link in serialised form, or None when it is refused.

        ``raw`` is the value of ``u`` as on the wire; it is percent-decoded once. ``+`` stays
        ``+``: a URL holds no spaces. The result is ASCII and may still hold ``{macros}``.
        """
        text = _decoded(raw)
        match = _URL.fullmatch(text) if text is not None else None
        if match is None:
            return None
        scheme, authority, rest = match[1].lower(), match[2], match[3] or ""
        host, colon, port = authority.partition(":")
        name = ascii_host(host)
        allowed = (
            name is not None
            and scheme in self.schemes
            and (not colon or port == _PORT[scheme])
            and (name in self.exact or name.endswith(self.suffixes))
            and "\\" not in rest
        )
        return f"{scheme}://{name}{quote(rest, safe=_SAFE)}" if allowed else None


def _decoded(raw: bytes) -> str | None:
    """Percent-decode once as UTF-8; None when that fails or yields a control character."""
    try:
        text = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def ascii_host(host: str) -> str | None:
    """Return a host name as lower-case ASCII, or None when it is not a plain host name."""
    if host.isascii():
        name = host.lower()
    else:
        try:
            name = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError:
            return None
    labels = name.split(".")
    if all(label and label.replace("-", "a").isalnum() for label in labels):
        return name
    return None
