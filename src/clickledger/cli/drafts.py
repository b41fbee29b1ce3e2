"""What ``notification add`` and ``change`` have in common: options, and the draft they make."""

import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from clickledger.errors import InvalidInputError
from clickledger.postbacks import masking
from clickledger.postbacks.model import BodyFormat, Draft, Method


class Emptied(StrEnum):
    """What ``change`` can empty."""

    BODY = "body"
    EVENTS = "events"
    PROGRAMS = "programs"
    PARTNERS = "partners"
    ACTION_TRACKERS = "action-trackers"
    HEADERS = "headers"


#: What it is then.
EMPTY: Mapping[Emptied, Mapping[str, object]] = {
    Emptied.BODY: {"body": ""},
    Emptied.EVENTS: {"events": ()},
    Emptied.PROGRAMS: {"program_ids": ()},
    Emptied.PARTNERS: {"partner_ids": ()},
    Emptied.ACTION_TRACKERS: {"action_tracker_ids": ()},
    Emptied.HEADERS: {"headers": {}},
}

_HIDDEN = f"{masking.MASK} stands for a secret that is not shown; say the secret itself"

# What `add` and `change` have in common, spelled and explained in one way.
MethodOption = Annotated[
    Method | None, typer.Option("--method", help="How the URL is called; default: GET.")
]
BodyOption = Annotated[
    str | None,
    typer.Option(
        "--body", help="Template of a POST's body; empty: every macro of the kind, by its name."
    ),
]
BodyFormatOption = Annotated[
    BodyFormat | None,
    typer.Option("--body-format", help="What the body is written in; default: JSON."),
]
EventsOption = Annotated[
    list[str] | None, typer.Option("--event", help="Tell only this event of the kind.")
]
ProgramsOption = Annotated[
    list[int] | None, typer.Option("--program", metavar="ID", help="Tell only of this program.")
]
PartnersOption = Annotated[
    list[int] | None, typer.Option("--partner", metavar="ID", help="Tell only of this partner.")
]
ActionTrackersOption = Annotated[
    list[int] | None,
    typer.Option("--action-tracker", metavar="ID", help="Tell only of this event type."),
]
MinimumDelayOption = Annotated[
    int | None,
    typer.Option(
        "--minimum-delay",
        metavar="SECONDS",
        help="From the event to the first attempt; default: 0.",
    ),
]
HeadersOption = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="NAME: VALUE", help="Header to send as it is."),
]
ClickLimitOption = Annotated[
    int | None,
    typer.Option(
        "--click-limit",
        help="Of clicks: calls per second above which a digest per minute takes their place; "
        "default: 50.",
    ),
]
SecretOption = Annotated[
    str | None,
    typer.Option(
        "--secret",
        help="Signing secret, whsec_ and base64; `-` reads it from standard input. Default: a new "
        "one.",
    ),
]


def said(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - one type for each field
    """Return the fields of a draft that options named; raises InvalidInputError."""
    fields = {name: value for name, value in values.items() if value is not None}
    if "headers" in fields:
        fields["headers"] = _headers(fields["headers"])
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }


def unmasked(said: Mapping[str, Any], present: Draft | None = None) -> dict[str, Any]:
    """Put back what was masked when it was shown, for a change of ``present``.

    Raises:
        InvalidInputError: a mask stands for nothing that is there.
    """
    fields = dict(said)
    shown = None if present is None else masking.masked(present)
    for name in ("url", "body"):
        text = fields.get(name, "")
        if present is not None and text == getattr(shown, name):
            fields[name] = getattr(present, name)
        elif masking.MASK in text and (
            name == "url" or (shown is not None and masking.MASK in shown.body)
        ):
            raise InvalidInputError.of(name, _HIDDEN)
    if "headers" in fields:
        known = {} if present is None else present.headers
        fields["headers"] = _unmasked_headers(fields["headers"], known)
    return fields


def read_secret(said: str | None) -> str | None:
    """Return a secret as given, or from standard input: there no list of processes shows it."""
    return sys.stdin.readline().strip() if said == "-" else said


def _headers(pairs: Iterable[str]) -> dict[str, str]:
    headers = {}
    for number, pair in enumerate(pairs, 1):
        name, colon, value = pair.partition(":")
        if not colon:  # it may be a secret: it is not repeated
            raise InvalidInputError.of("header", f"the {number}. is not NAME: VALUE")
        if name.strip() in headers:
            raise InvalidInputError.of("header", f"the {number}. has the name of an earlier one")
        headers[name.strip()] = value.strip()
    return headers


def _unmasked_headers(said: Mapping[str, str], present: Mapping[str, str]) -> dict[str, str]:
    known = {name.lower(): value for name, value in present.items()}
    headers = dict(said)
    for name, value in said.items():
        if value != masking.MASK:
            continue
        if name.lower() not in known:
            raise InvalidInputError.of("header", f"{name}: {_HIDDEN}")
        headers[name] = known[name.lower()]
    return headers
