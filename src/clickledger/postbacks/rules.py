"""What may be said of a notification, and which events it is about. Pure rules."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import TypeVar

from clickledger.errors import FieldError, InvalidInputError
from clickledger.postbacks.macros import MACROS
from clickledger.postbacks.model import CLICK_DIGEST, EVENTS, Draft, Event, Kind, Method
from clickledger.postbacks.templates import TemplateError, compile_body, compile_url

#: Longest name, in characters.
NAME_CHARS = 255
#: Longest time between an event and its first call: 7 days.
MINIMUM_DELAY_S = 7 * 86_400
#: Most calls per second for which clicks are told one by one.
CLICK_LIMIT = 1000
#: Most headers of a notification, and the longest value of one.
HEADERS = 20
HEADER_CHARS = 4096

_Choice = TypeVar("_Choice", bound=StrEnum)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[!-~](?:[ \t!-~]*[!-~])?")
_COUNTED = (
    "COUNTED cannot be selected yet: clicks are not classified into counted and not counted so "
    "far; select CLICK, which is every click"
)
#: Why a header is not the notification's to set.
_TAKEN: Mapping[str, str] = {
    "host": "the URL names the host",
    "user-agent": "it says who calls",
    "content-type": "BodyFormat decides it",
    "content-length": "the body decides it",
    "content-encoding": "the body is sent as it is",
    "accept-encoding": "the answer is kept as it comes",
    "expect": "the body is sent at once",
    "cookie": "postbacks carry no cookies",
    **dict.fromkeys(
        (
            "connection",
            "keep-alive",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ),
        "it belongs to the connection",
    ),
}


def check(draft: Draft) -> list[FieldError]:
    """Return every wrong field, named as on the wire; none: the draft may be stored."""
    return [FieldError(field=field, message=message) for field, message in _wrong(draft)]


def matches(draft: Draft, event: Event) -> bool:
    """Tell whether a notification is about an event; whose account it is, is not asked here.

    A digest stands for clicks that the notification was about, of any program and partner.
    """
    if event.name == CLICK_DIGEST:
        return draft.kind is event.kind
    return (
        draft.kind is event.kind
        and (not draft.events or event.name in draft.events)
        and (not draft.program_ids or event.program_id in draft.program_ids)
        and (not draft.partner_ids or event.partner_id in draft.partner_ids)
        and (not draft.action_tracker_ids or event.action_tracker_id in draft.action_tracker_ids)
    )


def choice(field: str, text: str, of: type[_Choice]) -> _Choice:
    """Return the member of an enumeration that a text names exactly.

    Raises:
        InvalidInputError: there is none; the sentence names the nearest, and all.
    """
    known = [member.value for member in of]
    if text in known:
        return of(text)
    raise InvalidInputError.of(field, _unknown(text, known))


def _wrong(draft: Draft) -> Iterator[tuple[str, str]]:
    if not draft.name.strip() or draft.name != draft.name.strip():
        yield "Name", "must not be empty, or begin or end with a space"
    elif len(draft.name) > NAME_CHARS:
        yield "Name", f"has {len(draft.name)} characters; at most {NAME_CHARS}"
    elif _CONTROL.search(draft.name):
        yield "Name", "must not hold control characters"
    yield from _wrong_templates(draft)
    yield from _wrong_events(draft)
    yield from _wrong_filters(draft)
    if not 0 <= draft.minimum_delay_s <= MINIMUM_DELAY_S:
        yield "MinimumDelay", f"must be 0 to {MINIMUM_DELAY_S} seconds (7 days)"
    yield from (("Headers", message) for message in _wrong_headers(draft.headers))
    if draft.kind is Kind.CLICK and not 1 <= draft.click_limit <= CLICK_LIMIT:
        yield "ClickLimit", f"must be 1 to {CLICK_LIMIT} calls per second"


def _wrong_templates(draft: Draft) -> Iterator[tuple[str, str]]:
    macros = MACROS[draft.kind]
    try:
        compile_url(draft.url, macros)
    except TemplateError as error:
        yield "Url", str(error)
    if draft.method is Method.GET:
        if draft.body:
            yield "Body", "a GET has no body: put the macros into the URL's query, or use POST"
    elif draft.body:
        try:
            compile_body(draft.body, draft.body_format, macros)
        except TemplateError as error:
            yield "Body", str(error)


def _wrong_events(draft: Draft) -> Iterator[tuple[str, str]]:
    known = EVENTS[draft.kind]
    for name in draft.events:
        if name in known:
            continue
        if draft.kind is Kind.CLICK and name == "COUNTED":
            yield "Events", _COUNTED
        else:
            yield "Events", _unknown(name, known)
    if len(set(draft.events)) < len(draft.events):
        yield "Events", "must name each event once"


def _wrong_filters(draft: Draft) -> Iterator[tuple[str, str]]:
    for field, ids in (
        ("ProgramIds", draft.program_ids),
        ("PartnerIds", draft.partner_ids),
        ("ActionTrackerIds", draft.action_tracker_ids),
    ):
        if any(one < 1 for one in ids):
            yield field, "must be positive whole numbers"
        elif len(set(ids)) < len(ids):
            yield field, "must name each id once"
    if draft.partner_ids and draft.kind is Kind.JOB_COMPLETION:
        yield "PartnerIds", "a job has no partner, so that nothing would ever be sent"
    if draft.action_tracker_ids and draft.kind is not Kind.EVENT_TYPE:
        yield "ActionTrackerIds", f"can be given for the kind {Kind.EVENT_TYPE} only"


def _wrong_headers(headers: Mapping[str, str]) -> Iterator[str]:
    if len(headers) > HEADERS:
        yield f"are {len(headers)}; at most {HEADERS}"
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not _TOKEN.fullmatch(name):
            yield f"{name!r} is not the name of a header"
        elif lower.startswith("webhook-"):
            yield f"{name} cannot be set: the signature's headers begin with webhook-"
        elif lower in _TAKEN:
            yield f"{name} cannot be set: {_TAKEN[lower]}"
        elif lower in seen:
            yield f"{name} is given twice"
        elif len(value) > HEADER_CHARS:
            yield f"the value of {name} has {len(value)} characters; at most {HEADER_CHARS}"
        elif not _HEADER_VALUE.fullmatch(value):
            yield (
                f"the value of {name} must be visible ASCII characters, with spaces only between "
                "them, and no line breaks"
            )
        seen.add(lower)


def _unknown(text: str, known: Iterable[str]) -> str:
    names = list(known)
    (near,) = difflib.get_close_matches(text.upper(), names, n=1, cutoff=0.0)
    return f"{text!r} is unknown; did you mean {near}? All: {', '.join(names)}"
