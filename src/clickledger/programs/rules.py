"""What may be stored of a program, an ad or a link: checked and normalised once. Pure rules.

Each function takes the field's name as the caller knows it, returns the stored form, and
raises InvalidInputError that says what would be right. The stored form is stable: checking
it again returns it unchanged.
"""

import difflib
import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

import idna

from clickledger.errors import InvalidInputError
from clickledger.programs.model import AD_TYPES

#: Longest URL and template, in characters after normalising.
URL_CHARS = 2048
#: Longest vanity path.
PATH_CHARS = 255
#: What a template or a landing page may ask for, in braces (impact-api 5.4).
TOKENS = ("clickid", "iradid", "ircid", "irpid")
#: Set by the collector on every landing URL.
GATEWAY_PARAM = "irgwc"
#: What a vanity path must not start with, in any case: these paths have a meaning already.
RESERVED_PREFIXES = (
    "/Advertisers",
    "/Mediapartners",
    "/Agencies",
    "/results",
    "/livez",
    "/readyz",
    "/metrics",
    "/PageLoad",
    "/.well-known",
)

_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
#: What stays as it is in a serialised URL: reserved and unreserved characters, escapes, tokens.
_URL_SAFE = "!#$%&'()*+,-./:;=?@[]_~{}"
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HOST_CHARS = 253
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_PARAM = re.compile(r"[A-Za-z0-9_.~-]{1,64}")
_TEMPLATE_CHARS = re.compile(r"[A-Za-z0-9!$%&'()*+,./:;=?@_~{}-]*")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+/?")
_TOKEN = re.compile(r"\{([^{}]*)\}")


def host(field: str, text: str) -> str:
    """Return a host name as it is compared: ASCII, lower case, no trailing dot."""
    if not text:
        raise InvalidInputError.of(field, "the host is missing")
    if any(character in text for character in "/@?#\\") or _UNPRINTABLE.search(text):
        bare = urlsplit(text).hostname if "://" in text else None
        fix = f"; write {bare}" if bare else ", without scheme, path or user"
        raise InvalidInputError.of(field, f"{text!r} is not a host alone{fix}")
    if ":" in text or "[" in text:
        raise InvalidInputError.of(
            field, f"{text!r}: a host is given without port, and not as an IPv6 address"
        )
    name = text.lower()
    if not name.isascii() or "xn--" in name:
        try:
            name = idna.encode(text, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise InvalidInputError.of(field, f"{text!r} is not a host name: {error}") from error
    name = name.removesuffix(".")
    labels = name.split(".")
    if len(name) > _HOST_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidInputError.of(field, f"{text!r} is not a host name")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]) and not _is_ipv4(name):
        # A browser would read such a name as an IPv4 address in disguise.
        raise InvalidInputError.of(field, f"{text!r} is neither a host name nor an IPv4 address")
    return name


def deep_link_domain(field: str, text: str) -> str:
    """Return one entry of a program's list: a host, or ``*.`` and a host for any below it."""
    if not text.startswith("*"):
        return host(field, text)
    if not text.startswith("*."):
        raise InvalidInputError.of(field, f"{text!r}: a wildcard is written as *.example.com")
    base = host(field, text[2:])
    if "." not in base or _is_ipv4(base):
        raise InvalidInputError.of(
            field, f"{text!r} is too wide; name a domain, such as *.example.com"
        )
    return f"*.{base}"


def deep_link_domains(field: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Return a program's list, each entry once, in the order given."""
    return tuple(dict.fromkeys(deep_link_domain(field, text) for text in texts))


def landing_page(field: str, text: str) -> str:
    """Return an absolute http or https URL in serialised form: ASCII, host normalised."""
    parts = _URL.fullmatch(text)
    if parts is None or _UNPRINTABLE.search(text):
        raise InvalidInputError.of(field, f"{text!r} is not an absolute http or https URL")
    scheme, authority, rest = parts["scheme"].lower(), parts["authority"], parts["rest"]
    if "@" in authority:
        raise InvalidInputError.of(field, "must not carry a user name or password")
    if "\\" in rest:
        raise InvalidInputError.of(field, "must not hold a backslash; write %5C")
    _check_tokens(field, rest)
    address, colon, port = authority.partition(":")
    where = host(field, address)
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise InvalidInputError.of(field, f"{authority!r} does not end in a port")
    if colon and port != _DEFAULT_PORTS[scheme]:
        where = f"{where}:{int(port)}"
    if not rest.startswith("/"):
        rest = "/" + rest
    url = f"{scheme}://{where}{quote(rest, safe=_URL_SAFE)}"
    if len(url) > URL_CHARS:
        raise InvalidInputError.of(field, f"has {len(url)} characters; at most {URL_CHARS}")
    return url


def host_of(url: str) -> str:
    """Return the host of a normalised URL."""
    return urlsplit(url).hostname or ""


def deep_link(field: str, text: str, domains: Iterable[str], program_page: str) -> str:
    """Return the deep link of a vanity link, which must be one that a visitor may ask for.

    ``domains`` and ``program_page``: the program's deep-link domains and landing page. As in
    the collector, plain http is accepted only where the program itself uses it, and no port.
    """
    url = landing_page(field, text)
    target = urlsplit(url)
    if target.scheme != "https" and urlsplit(program_page).scheme == "https":
        raise InvalidInputError.of(field, "must be https, as the program's landing page is")
    if target.port is not None:
        raise InvalidInputError.of(field, "must not name a port")
    listed = tuple(domains)
    name = host_of(url)
    if not host_allowed(name, listed):
        raise InvalidInputError.of(
            field,
            f"{name} is not a deep-link domain of the program "
            f"({', '.join(listed) or 'it has none'})",
        )
    return url


def host_allowed(name: str, domains: Iterable[str]) -> bool:
    """Tell whether a normalised host is on a program's list of deep-link domains."""
    return any(
        name.endswith(entry[1:]) if entry.startswith("*.") else name == entry for entry in domains
    )


def click_id_param(field: str, text: str) -> str:
    """Return the name of the parameter that carries the click id."""
    if not _PARAM.fullmatch(text):
        raise InvalidInputError.of(
            field, f"{text!r}: 1 to 64 letters, digits, or any of _ . ~ -, such as irclickid"
        )
    if text.lower() == GATEWAY_PARAM:
        raise InvalidInputError.of(field, f"{GATEWAY_PARAM} is taken: it marks the visit itself")
    return text


def template(field: str, text: str, id_param: str) -> str:
    """Return a tracking template: ``name={token}&…``, appended to the landing URL.

    ``id_param``: the program's click-id parameter; the collector adds it itself.
    """
    text = text.strip("?&")
    if len(text) > URL_CHARS:
        raise InvalidInputError.of(field, f"has {len(text)} characters; at most {URL_CHARS}")
    if not _TEMPLATE_CHARS.fullmatch(text):
        wrong = next(mark for mark in text if not _TEMPLATE_CHARS.fullmatch(mark))
        raise InvalidInputError.of(
            field, f"{wrong!r} cannot stand in the query of a URL; percent-encode it"
        )
    _check_tokens(field, text)
    own = {id_param.lower(), GATEWAY_PARAM}
    for part in filter(None, text.split("&")):
        name = part.partition("=")[0]
        if not name:
            raise InvalidInputError.of(field, f"{part!r} has no parameter name")
        if name.lower() in own:
            raise InvalidInputError.of(field, f"{name} is added to every landing URL anyway")
    return text


def ad_type(field: str, text: str) -> str:
    """Return an ad type of the wire."""
    if text in AD_TYPES:
        return text
    near = _nearest(text.upper(), AD_TYPES)
    raise InvalidInputError.of(
        field, f"{text!r} is not an ad type; did you mean {near}? All: {', '.join(AD_TYPES)}"
    )


def vanity_path(field: str, text: str) -> str:
    """Return a path that may stand for a link: it is compared exactly, case included."""
    if len(text) > PATH_CHARS:
        raise InvalidInputError.of(field, f"has {len(text)} characters; at most {PATH_CHARS}")
    if not _PATH.fullmatch(text):
        raise InvalidInputError.of(
            field, f"{text!r}: write it as /summer or /summer/sale, with letters, digits, _ . ~ -"
        )
    if any(segment in {".", ".."} for segment in text.split("/")):
        raise InvalidInputError.of(field, f"{text!r}: a browser would not send . and .. on")
    lower = text.lower()
    taken = [prefix for prefix in RESERVED_PREFIXES if lower.startswith(prefix.lower())]
    if lower == "/c" or lower.startswith("/c/"):
        taken.append("/c/")
    if taken:
        raise InvalidInputError.of(field, f"{text!r}: {taken[0]} has a meaning of its own")
    return text


def tracking_url(public_url: str, partner_id: int, ad_id: int, program_id: int) -> str:
    """Return the tracking link of a partner for an ad."""
    return f"{public_url.rstrip('/')}/c/{partner_id}/{ad_id}/{program_id}"


def vanity_url(public_url: str, path: str) -> str:
    """Return the address of a vanity link."""
    return public_url.rstrip("/") + path


def _check_tokens(field: str, text: str) -> None:
    for token in _TOKEN.findall(text):
        if token not in TOKENS:
            near = _nearest(token.lower(), TOKENS)
            raise InvalidInputError.of(field, f"{{{token}}} is unknown; did you mean {{{near}}}?")
    if set("{}") & set(_TOKEN.sub("", text)):
        raise InvalidInputError.of(field, "has a brace without its partner; write %7B or %7D")


def _nearest(text: str, known: Iterable[str]) -> str:
    return difflib.get_close_matches(text, list(known), n=1, cutoff=0.0)[0]


def _is_ipv4(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
