"""What a caller says of a notification: a new one, or a change to one that is there.

A change names what is to be different: what is named and empty goes back to its default, what is
not named stays. What was shown masked may come back as it was shown, and stays too.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from litestar.openapi.spec import OpenAPIType

from clickledger.api.openapi import Query
from clickledger.api.requests import Parameters, Reader
from clickledger.errors import FieldError
from clickledger.postbacks import masking, rules
from clickledger.postbacks.model import BodyFormat, Draft, Kind, Method

#: Stands where a field is missing or wrong, so that the others can be judged.
_DEFAULT = Draft(name="", kind=Kind.JOB_COMPLETION, url="")
#: What cannot be judged while another field is unknown.
_HANGS_ON: Mapping[str, frozenset[str]] = {
    "Kind": frozenset({"Url", "Body", "Events", "PartnerIds", "ActionTrackerIds", "ClickLimit"}),
    "Method": frozenset({"Body"}),
    "BodyFormat": frozenset({"Body"}),
}
SECRET = Query(
    name="Secret",
    description="whsec_ and the Base64 of 24 to 64 bytes, to sign with. Default: a new one.",
)
#: What a notification has, in the order in which it is shown.
FIELDS = (
    Query(name="Name", description="Unique in the account."),
    Query(name="Kind", choices=tuple(Kind), description="What it tells of; it cannot change."),
    Query(
        name="Url",
        description="Absolute, http or https; its query may hold `{Macro}` tokens.",
    ),
    Query(name="Method", choices=tuple(Method), description="Default GET."),
    Query(
        name="Body",
        description="Template of a POST with `{Macro}` tokens. Default: every macro of the kind by "
        "its name.",
    ),
    Query(
        name="BodyFormat",
        choices=tuple(BodyFormat),
        description="What the body is written in. Default JSON.",
    ),
    Query(
        name="Events",
        repeatable=True,
        description="Only these events of the kind. Default all.",
    ),
    Query(
        name="ProgramIds",
        type=OpenAPIType.INTEGER,
        repeatable=True,
        description="Only events of these programs. Default all.",
    ),
    Query(
        name="PartnerIds",
        type=OpenAPIType.INTEGER,
        repeatable=True,
        description="Only events of these partners. Default all.",
    ),
    Query(
        name="ActionTrackerIds",
        type=OpenAPIType.INTEGER,
        repeatable=True,
        description="Of the kind EVENT_TYPE: only these event types. Default all.",
    ),
    Query(
        name="MinimumDelay",
        type=OpenAPIType.INTEGER,
        description="Seconds between the event and the first attempt, up to 604800. Default 0.",
    ),
    Query(
        name="Headers",
        repeatable=True,
        description="Sent besides ours, written `Name: value`; in JSON an object will do. Values "
        "are shown as `***`, which stands for the present value in a change.",
    ),
    Query(
        name="ClickLimit",
        type=OpenAPIType.INTEGER,
        description="Of the kind CLICK: calls per second; above it a digest per minute takes "
        "their place. Default 50.",
    ),
)

_HIDDEN = f"{masking.MASK} stands for a secret that is not shown; say the secret itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A draft, and what was wrong with the way it was said: in its place stand defaults."""

    draft: Draft
    errors: tuple[FieldError, ...]


def read(parameters: Parameters, present: Draft | None = None) -> Said:
    """Read a notification, or what becomes of the ``present`` one; it is still to be judged.

    Raises:
        InvalidInputError: a field is not known on which others hang. Names each field whose
            value is not of its type, and every other wrong one that can be judged by itself.
    """
    reader = Reader(parameters)
    said = {
        field: value(reader, name)
        for name, (field, value) in _READ.items()
        if present is None or parameters.given(name)
    }
    _unmask(reader, said, present)
    draft = dataclasses.replace(present or _DEFAULT, **said)
    refused = {error.field for error in reader.errors}
    unclear = refused.union(*(_HANGS_ON.get(name, ()) for name in refused))
    if unclear > refused:
        for error in rules.check(draft):
            if error.field not in unclear:
                reader.refuse(error.field, error.message)
        reader.finish()
    return Said(draft=draft, errors=reader.errors)


def _text(reader: Reader, name: str) -> str:
    return reader.text(name)


def _kind(reader: Reader, name: str) -> Kind:
    if not reader.text(name):
        reader.refuse(name, f"must be given: one of {', '.join(Kind)}")
    return Kind(reader.choice(name, _choices(Kind)) or _DEFAULT.kind)


def _method(reader: Reader, name: str) -> Method:
    return Method(reader.choice(name, _choices(Method)) or _DEFAULT.method)


def _body_format(reader: Reader, name: str) -> BodyFormat:
    return BodyFormat(reader.choice(name, _choices(BodyFormat)) or _DEFAULT.body_format)


def _choices(of: type[StrEnum]) -> Mapping[str, str]:
    return {member.value: member.value for member in of}


def _events(reader: Reader, name: str) -> tuple[str, ...]:
    """Read names in any case, each once, separated by commas or repeated."""
    named = (one.strip().upper() for text in reader.texts(name) for one in text.split(","))
    return tuple(dict.fromkeys(filter(None, named)))


def _ids(reader: Reader, name: str) -> tuple[int, ...]:
    return reader.ids(name)


def _minimum_delay(reader: Reader, name: str) -> int:
    return reader.whole(name, default=_DEFAULT.minimum_delay_s)


def _click_limit(reader: Reader, name: str) -> int:
    return reader.whole(name, default=_DEFAULT.click_limit)


def _headers(reader: Reader, name: str) -> dict[str, str]:
    """Read ``Name: value`` pairs; what is wrong is not repeated, for it may be a secret."""
    headers: dict[str, str] = {}
    for number, text in enumerate(reader.texts(name), 1):
        key, colon, value = (part.strip() for part in text.partition(":"))
        if not colon:
            reader.refuse(name, f"the {number}. is not written as Name: value")
        elif key in headers:
            reader.refuse(name, f"the {number}. has the name of an earlier one")
        else:
            headers[key] = value
    return headers


#: Name on the wire → field of the record, and how it is read.
_READ: Mapping[str, tuple[str, Callable[[Reader, str], Any]]] = {
    "Name": ("name", _text),
    "Kind": ("kind", _kind),
    "Url": ("url", _text),
    "Method": ("method", _method),
    "Body": ("body", _text),
    "BodyFormat": ("body_format", _body_format),
    "Events": ("events", _events),
    "ProgramIds": ("program_ids", _ids),
    "PartnerIds": ("partner_ids", _ids),
    "ActionTrackerIds": ("action_tracker_ids", _ids),
    "MinimumDelay": ("minimum_delay_s", _minimum_delay),
    "Headers": ("headers", _headers),
    "ClickLimit": ("click_limit", _click_limit),
}


def _unmask(reader: Reader, said: dict[str, Any], present: Draft | None) -> None:
    """Put back what was masked when the caller saw it; refuse a mask that stands for nothing."""
    shown = _DEFAULT if present is None else masking.masked(present)
    for name, field in (("Url", "url"), ("Body", "body")):
        text = said.get(field, "")
        if present is not None and text == getattr(shown, field):
            said[field] = getattr(present, field)
        elif masking.MASK in text and (name == "Url" or masking.MASK in shown.body):
            reader.refuse(name, _HIDDEN)
    known = {} if present is None else {key.lower(): key for key in present.headers}
    for key, value in said.get("headers", {}).items():
        if value != masking.MASK:
            continue
        if present is None or key.lower() not in known:
            reader.refuse("Headers", f"{key}: {_HIDDEN}")
        else:
            said["headers"][key] = present.headers[known[key.lower()]]
