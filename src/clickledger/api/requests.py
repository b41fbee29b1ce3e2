"""Reading a request: its format, its parameters, and every wrong one of them at once."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from urllib.parse import parse_qsl

from clickledger.api.render import Format
from clickledger.errors import FieldError, InvalidInputError

#: Parameters in one request; ten thousand repeats of one key must pass, a flood must not.
MAX_PARAMETERS = 100_000

_ID = re.compile(r"0*[1-9][0-9]{0,15}")
_WHOLE = re.compile(r"[0-9]{1,16}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: A ``+`` that a client forgot to encode arrives as a space.
_LOST_PLUS = re.compile(r" (?=[0-9]{2}:?[0-9]{2}$)")
_FIRST_YEAR = 1970
JSON_TYPES = frozenset({"application/json", "text/json"})
_XML_TYPES = frozenset({"application/xml", "text/xml"})


class Parameters:
    """Query and form parameters: names in any case, values in the order of arrival.

    Of a key that is repeated where one value is meant, the first counts. An empty value is
    the same as none, unless a change asks what was ``given``.
    """

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            values = self._values.setdefault(name.lower(), [])
            if value:
                values.append(value)

    def given(self, name: str) -> bool:
        """Tell whether the name was there at all, with a value or without."""
        return name.lower() in self._values

    def first(self, name: str) -> str | None:
        """Return the first value, or None."""
        values = self._values.get(name.lower())
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """Return every value in order of arrival."""
        return list(self._values.get(name.lower(), ()))


def parse_pairs(encoded: bytes) -> list[tuple[str, str]]:
    """Split a query string or form body; invalid UTF-8 becomes U+FFFD.

    Raises:
        InvalidInputError: there are more than ``MAX_PARAMETERS``.
    """
    if encoded.count(b"&") >= MAX_PARAMETERS:
        raise InvalidInputError(f"A request may carry at most {MAX_PARAMETERS} parameters.")
    text = encoded.decode("utf-8", "replace")
    return parse_qsl(text, keep_blank_values=True, encoding="utf-8", errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as its handler sees it, whatever way it was spelled."""

    #: Sent back as ``X-Request-Id``; the caller's, when it is sane.
    request_id: str
    #: Of the answer.
    form: Format
    #: From the query, then from the body: a form, or a JSON object.
    parameters: Parameters
    #: The answer's body will not be sent.
    head: bool


def choose_format(path: str, accept: str) -> tuple[str, Format]:
    """Return the path without a format suffix, and the format the caller wants.

    A suffix of the last segment wins over the ``Accept`` header. JSON must be named to be
    chosen: for anything else, ``*/*`` included, the wire's default is XML.
    """
    head, slash, last = path.rpartition("/")
    for form in Format:
        suffix = f".{form}"
        if len(last) > len(suffix) and last.lower().endswith(suffix):
            return head + slash + last[: -len(suffix)], form
    return path, _accepted(accept)


def _accepted(accept: str) -> Format:
    best: tuple[float, Format] = (0.0, Format.XML)
    for part in accept.split(","):
        kind, *arguments = (piece.strip().lower() for piece in part.split(";"))
        form = Format.JSON if kind in JSON_TYPES else Format.XML if kind in _XML_TYPES else None
        if form and (quality := _quality(arguments)) > best[0]:
            best = (quality, form)
    return best[1]


def _quality(arguments: Iterable[str]) -> float:
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name == "q":
            return float(value) if re.fullmatch(r"[01](\.[0-9]{0,3})?", value) else 1.0
    return 1.0


def parse_id(text: str) -> int | None:
    """Read an id: a positive integer of at most 16 digits (impact-api 1.3); None: it is not."""
    return int(text) if _ID.fullmatch(text) else None


def require_id(name: str, text: str) -> int:
    """Read an id of the path.

    Raises:
        InvalidInputError: it is not a positive integer.
    """
    value = parse_id(text)
    if value is None:
        raise InvalidInputError.of(name, "Not a numeric value: expected a positive integer")
    return value


class Reader:
    """Reads parameters by type and collects what is wrong, so that one answer names it all."""

    __slots__ = ("_errors", "_parameters")

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._errors: list[FieldError] = []

    @property
    def errors(self) -> tuple[FieldError, ...]:
        """What is wrong so far."""
        return tuple(self._errors)

    def refuse(self, field: str, message: str) -> None:
        """Note that a field is wrong."""
        self._errors.append(FieldError(field=field, message=message))

    def finish(self) -> None:
        """Raise InvalidInputError when any field was wrong."""
        if self._errors:
            sentence = "; ".join(f"{one.field}: {one.message}" for one in self._errors)
            raise InvalidInputError(sentence, *self._errors)

    def text(self, name: str) -> str:
        """Read a text as it stands; empty: there is none."""
        return self._parameters.first(name) or ""

    def texts(self, name: str) -> list[str]:
        """Read a repeatable text."""
        return self._parameters.all(name)

    def ids(self, name: str) -> tuple[int, ...]:
        """Read a repeatable list of ids: sorted, each once."""
        found: set[int] = set()
        for text in self._parameters.all(name):
            value = parse_id(text)
            if value is None:
                self.refuse(name, f"Not a numeric value: {shown(text)}")
                break
            found.add(value)
        return tuple(sorted(found))

    def flag(self, name: str) -> bool | None:
        """Read true or false, in any case."""
        text = self._parameters.first(name)
        if text is None:
            return None
        value = {"true": True, "false": False}.get(text.strip().lower())
        if value is None:
            self.refuse(name, f"Expected true or false, not {shown(text)}")
        return value

    def choice(self, name: str, choices: Mapping[str, str]) -> str | None:
        """Read one of ``choices``, in any case; its keys are in upper case."""
        text = self._parameters.first(name)
        if text is None:
            return None
        value = choices.get(text.strip().upper())
        if value is None:
            known = ", ".join(choices.values())
            expected = f"one of {known}" if len(choices) > 1 else known
            self.refuse(name, f"Expected {expected}, not {shown(text)}")
        return value

    def number(self, name: str, *, default: int, maximum: int) -> int:
        """Read a count from 1; a greater one than ``maximum`` becomes ``maximum``."""
        text = self._parameters.first(name)
        if text is None:
            return default
        value = parse_id(text.strip())
        if value is None:
            self.refuse(name, f"Expected a number from 1, not {shown(text)}")
            return default
        return min(value, maximum)

    def whole(self, name: str, *, default: int) -> int:
        """Read a whole number from 0."""
        text = self._parameters.first(name)
        if text is None:
            return default
        if not _WHOLE.fullmatch(text.strip()):
            self.refuse(name, f"Expected a whole number, not {shown(text)}")
            return default
        return int(text)

    def day(self, name: str) -> date | None:
        """Read a date written ``yyyy-mm-dd``, from 1970 on."""
        text = self._parameters.first(name)
        if text is None:
            return None
        value = parse_day(text.strip())
        if value is None:
            self.refuse(name, f"Expected a date written yyyy-mm-dd, not {shown(text)}")
        elif value.year < _FIRST_YEAR:
            self.refuse(name, f"No click is older than 1970-01-01: {shown(text)}")
            return None
        return value

    def moment(self, name: str, zone: tzinfo, *, end_of_day: bool) -> datetime | None:
        """Read a date, or a date and time, as an instant in UTC.

        Without an offset it is meant in ``zone``. A bare date is the first instant of that day,
        or with ``end_of_day`` the first instant of the next.
        """
        text = self._parameters.first(name)
        if text is None:
            return None
        try:
            return _moment(_LOST_PLUS.sub("+", text.strip()), zone, end_of_day=end_of_day)
        except (ValueError, OverflowError):
            expected = "a date yyyy-mm-dd or a time yyyy-mm-ddThh:mm:ss with Z or an offset"
            self.refuse(name, f"Expected {expected}, not {shown(text)}")
            return None


def parse_day(text: str) -> date | None:
    """Read ``yyyy-mm-dd``; None when it is no date."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _moment(text: str, zone: tzinfo, *, end_of_day: bool) -> datetime:
    if (day := parse_day(text)) is not None:
        shown_day = day + timedelta(days=1) if end_of_day else day
        return datetime.combine(shown_day, time.min, zone).astimezone(UTC)
    if not _DATE.match(text):  # ISO 8601 has more spellings than the wire
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def shown(text: str) -> str:
    """Quote a caller's value for an error sentence; a long one is cut."""
    longest = 64
    return f"'{text}'" if len(text) <= longest else f"'{text[:longest]}…'"
