"""What the log and the API show of a request: everything but its secrets. Pure rules.

A template's literal text is sent as it stands, so that what is secret in it is found again in
what was sent, and in an answer that repeats it.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote_plus

from clickledger.postbacks.model import BodyFormat, Draft
from clickledger.postbacks.templates import TOKEN

MASK = "***"

#: Ours: they hold nothing secret. All others of a request are the notification's own.
_PLAIN = frozenset({"user-agent", "content-type", "webhook-id", "webhook-timestamp"})
_SIGNATURE = "webhook-signature"
_SECRET_ANSWERS = frozenset({"set-cookie", "set-cookie2", "authorization"})

#: Shorter text is not looked for in bodies: it would be found everywhere.
_LEAST_CHARS = 4
_WORDS = frozenset(
    {"auth", "credential", "credentials", "hmac", "jwt", "key", "pass", "pin", "pw", "pwd", "sig"}
    | {"sign", "sid", "bearer", "session"}
)
_WITHIN = ("apikey", "authkey", "authori", "credential", "passphrase", "passw", "secret", "token")
_SIGNATURES = ("signature", "accesskey", "privatekey")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_JSON_PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)
_XML_ELEMENT = re.compile(r"<([\w:.-]+)(?:\s[^<>]*)?>([^<]*)</")
_XML_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*[\"']([^\"'<]*)[\"']")


def looks_secret(name: str) -> bool:
    """Tell whether the value of a parameter of this name is likely a secret."""
    squashed = re.sub(r"[^a-z]", "", name.lower())
    return any(part in squashed for part in (*_WITHIN, *_SIGNATURES)) or any(
        word.lower() in _WORDS for word in _WORD.findall(name)
    )


def url(text: str, template: str = "") -> str:
    """Mask the values of secret parameters in a URL.

    ``template``: what the URL was made of; a parameter whose value is nothing but macros in it
    is shown. Without it, ``text`` is a template itself.
    """
    head, question, query = text.partition("?")
    if not question:
        return text
    shape = (template or text).partition("?")[2].split("&")
    shown = [
        _masked(pair) if place < len(shape) and _holds_secret(shape[place]) else pair
        for place, pair in enumerate(query.split("&"))
    ]
    return f"{head}?{'&'.join(shown)}"


def request_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Mask the headers of a request: the notification's own, and the signature."""
    return tuple((name, _request_header(name.lower(), value)) for name, value in headers)


def sample_headers(headers: Iterable[tuple[str, str]], draft: Draft) -> tuple[tuple[str, str], ...]:
    """Mask the notification's own headers; a sample's signature is there to be checked by hand."""
    own = {name.lower() for name in draft.headers}
    return tuple((name, MASK if name.lower() in own else value) for name, value in headers)


def response_headers(
    headers: Iterable[tuple[str, str]], draft: Draft
) -> tuple[tuple[str, str], ...]:
    """Mask the headers of an answer: a redirect, for one, often repeats the URL that was called."""
    return tuple(
        (name, MASK if name.lower() in _SECRET_ANSWERS else text(value, draft))
        for name, value in headers
    )


def draft_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Mask the headers of a notification: their names stay."""
    return dict.fromkeys(headers, MASK)


def masked(draft: Draft) -> Draft:
    """Return a notification's draft as it may be shown."""
    return dataclasses.replace(
        draft,
        url=url(draft.url),
        body=text(draft.body, draft),
        headers=draft_headers(draft.headers),
    )


def text(shown: str, draft: Draft) -> str:
    """Mask the secrets of a notification in the body of a request, or of an answer."""
    for secret in sorted(_secrets(draft), key=len, reverse=True):
        shown = shown.replace(secret, MASK)
    return shown


def _request_header(name: str, value: str) -> str:
    if name == _SIGNATURE:
        return " ".join(f"{one.partition(',')[0]},{MASK}" for one in value.split(" "))
    return value if name in _PLAIN else MASK


def _holds_secret(pair: str) -> bool:
    name, _, value = pair.partition("=")
    return bool(TOKEN.sub("", value)) and looks_secret(unquote_plus(name))


def _masked(pair: str) -> str:
    return f"{pair.partition('=')[0]}={MASK}"


def _secrets(draft: Draft) -> set[str]:
    """Collect what is secret in a notification, as it is sent."""
    found: set[str] = set()
    for name, value in draft.headers.items():
        if looks_secret(name):
            # of "Bearer abc" the second word alone, too
            found.update((value, value.rpartition(" ")[2]))
    for name, value in (
        *_query_pairs(draft.url.partition("?")[2]),
        *_body_pairs(draft.body, draft.body_format),
    ):
        if looks_secret(name):
            for literal in TOKEN.split(value)[::2]:
                found.update((literal, unquote_plus(literal)))
    return {secret for secret in found if len(secret) >= _LEAST_CHARS}


def _query_pairs(query: str) -> Iterator[tuple[str, str]]:
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        yield unquote_plus(name), value


def _body_pairs(body: str, body_format: BodyFormat) -> Iterator[tuple[str, str]]:
    if body_format is BodyFormat.JSON:
        yield from _JSON_PAIR.findall(body)
    elif body_format is BodyFormat.XML:
        yield from _XML_ELEMENT.findall(body)
        yield from _XML_ATTRIBUTE.findall(body)
    else:
        yield from _query_pairs(body)
