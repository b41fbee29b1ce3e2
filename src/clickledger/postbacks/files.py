"""Notifications in a TOML file: one ``[[notification]]`` table each, read and written.

A file is checked as a whole, and each fault is told with its line. It can lie in a
repository: it holds no signing secret, and the value of a header may be the name of an
environment variable, ``Authorization = { env = "SHOP_TOKEN" }``.
"""

import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from clickledger.errors import FieldError, InvalidInputError
from clickledger.postbacks import rules
from clickledger.postbacks.masking import MASK
from clickledger.postbacks.model import BodyFormat, Draft, Kind, Method

#: Name of the tables of a file.
TABLE = "notification"

#: Key in a file → field of a request, as rules and stores name it.
_WIRE: Mapping[str, str] = {
    "name": "Name",
    "kind": "Kind",
    "url": "Url",
    "method": "Method",
    "body": "Body",
    "body_format": "BodyFormat",
    "events": "Events",
    "program_ids": "ProgramIds",
    "partner_ids": "PartnerIds",
    "action_tracker_ids": "ActionTrackerIds",
    "minimum_delay_s": "MinimumDelay",
    "headers": "Headers",
    "click_limit": "ClickLimit",
}
#: Every key of a table, in the order in which they are written.
KEYS = tuple(_WIRE)
_OF_WIRE: Mapping[str, str] = {wire: key for key, wire in _WIRE.items()}
_REQUIRED = ("name", "kind", "url")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One table of a file: what it asks for, and where it does so."""

    draft: Draft
    #: Line of its heading, from 1.
    line: int
    #: Key → line.
    lines: Mapping[str, int]

    def locate(self, fault: FieldError) -> FieldError:
        """Name a fault by line and key, where a rule or a store named a field of a request."""
        key = _OF_WIRE.get(fault.field, fault.field)
        return _fault(self.lines.get(key, self.line), key, fault.message)


def read(text: str, environment: Mapping[str, str]) -> tuple[Entry, ...]:
    """Read a file, in its order; ``environment`` has the values that headers name.

    Raises:
        InvalidInputError: names line and key of everything that is wrong.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"not TOML: {error}") from error
    top, places = _places(text)
    tables = document.pop(TABLE, [])
    faults = [_fault(top[key], key, f"a file has [[{TABLE}]] tables only") for key in document]
    entries: list[Entry] = []
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        faults.append(_fault(top[TABLE], TABLE, f"write [[{TABLE}]], in double brackets"))
        tables = []
    names: dict[str, int] = {}
    # Written as one list, `notification = [{…}]`, all of them stand in its line.
    places += [_Table(line=top.get(TABLE, 1))] * (len(tables) - len(places))
    for table, place in zip(tables, places, strict=True):
        line, lines = place.line, place.lines
        wrong, draft = _draft(table, environment)
        if draft is None:
            faults += [_fault(lines.get(key, line), key, sentence) for key, sentence in wrong]
            continue
        entry = Entry(draft=draft, line=line, lines=lines)
        faults += [entry.locate(fault) for fault in rules.check(draft)]
        if draft.name in names:
            sentence = f"the table in line {names[draft.name]} has this name already"
            faults.append(_fault(lines.get("name", line), "name", sentence))
        names.setdefault(draft.name, line)
        entries.append(entry)
    if faults:
        raise wrong_file(faults)
    return tuple(entries)


def wrong_file(faults: Iterable[FieldError]) -> InvalidInputError:
    """Make one error of the faults of a file."""
    told = tuple(faults)
    return InvalidInputError("; ".join(f"{one.field}: {one.message}" for one in told), *told)


def write(drafts: Iterable[Draft], *, header_values: bool) -> str:
    """Write a file that asks for ``drafts``; what is as it is by default is left out.

    Without ``header_values`` the mask takes their place, and the file must be completed.
    """
    defaults = {one.name: one.default for one in fields(Draft)}
    tables = []
    for draft in drafts:
        lines = [f"[[{TABLE}]]"]
        for key in _WIRE:
            value = getattr(draft, key)
            if key != "headers" and value != defaults[key]:
                lines.append(f"{key} = {_value(value)}")
        if draft.headers:
            lines.append(f"[{TABLE}.headers]")
            lines += [
                f"{_text(name)} = {_text(value if header_values else MASK)}"
                for name, value in draft.headers.items()
            ]
        tables.append("\n".join(lines) + "\n")
    return "\n".join(tables)


def _draft(
    table: Mapping[str, object], environment: Mapping[str, str]
) -> tuple[list[tuple[str, str]], Draft | None]:
    """Take a table as a draft; else say every wrong key with a sentence."""
    wrong: list[tuple[str, str]] = []
    taken: dict[str, Any] = {}
    for key, value in table.items():
        reader = _READERS.get(key)
        if reader is None:
            near = difflib.get_close_matches(key, _WIRE, n=1)
            wrong.append((key, "unknown key" + (f"; did you mean {near[0]}?" if near else "")))
            continue
        try:
            taken[key] = reader(value, environment)
        except ValueError as error:
            wrong.append((key, str(error)))
    wrong += [(key, "missing") for key in _REQUIRED if key not in table]
    return (wrong, None) if wrong else ([], Draft(**taken))


def _string(value: object, _: Mapping[str, str]) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{_shown(value)} is not a text in quotes")


def _url(value: object, environment: Mapping[str, str]) -> str:
    text = _string(value, environment)
    if MASK in text:
        raise ValueError(f"{MASK} stands for a secret that is not shown; write the secret itself")
    return text


def _whole(value: object, _: Mapping[str, str]) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"{_shown(value)} is not a whole number")


def _one_of(choices: type[StrEnum]) -> "_Reader":
    def read_choice(value: object, environment: Mapping[str, str]) -> StrEnum:
        try:
            return rules.choice("", _string(value, environment), choices)
        except InvalidInputError as error:
            raise ValueError(error.fields[0].message) from None

    return read_choice


def _list_of(reader: "_Reader") -> "_Reader":
    def read_list(value: object, environment: Mapping[str, str]) -> tuple[object, ...]:
        if isinstance(value, list):
            return tuple(reader(one, environment) for one in value)
        raise ValueError(f"{_shown(value)} is not a list in square brackets")

    return read_list


def _headers(value: object, environment: Mapping[str, str]) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"write a table, [{TABLE}.headers]")  # noqa: TRY004 - told as the others
    return {name: _header(name, text, environment) for name, text in value.items()}


def _header(name: str, value: object, environment: Mapping[str, str]) -> str:
    match value:
        case str() if value == MASK:
            raise ValueError(f'{name} is masked; write its value, or {{ env = "NAME" }}')
        case str():
            return value
        case {"env": str(variable), **more} if not more:
            if variable not in environment:
                raise ValueError(f"{name}: the environment has no {variable}")
            return environment[variable]
    # The value may be a secret that is written in a wrong way: it is not repeated.
    raise ValueError(f'{name} is neither a text in quotes nor {{ env = "NAME" }}')


def _shown(value: object) -> str:
    """Show a value as the file has it, as far as TOML and JSON agree."""
    return json.dumps(value, default=str, ensure_ascii=False)


#: Takes a value of the file and the environment; raises ValueError with a sentence.
_Reader = Callable[[object, Mapping[str, str]], object]

_READERS: Mapping[str, _Reader] = {
    "name": _string,
    "kind": _one_of(Kind),
    "url": _url,
    "method": _one_of(Method),
    "body": _string,
    "body_format": _one_of(BodyFormat),
    "events": _list_of(_string),
    "program_ids": _list_of(_whole),
    "partner_ids": _list_of(_whole),
    "action_tracker_ids": _list_of(_whole),
    "minimum_delay_s": _whole,
    "headers": _headers,
    "click_limit": _whole,
}


def _fault(line: int, key: str, sentence: str) -> FieldError:
    return FieldError(field=f"line {line}, {key}", message=sentence)


def _value(value: object) -> str:
    match value:
        case str():
            return _text(value)
        case tuple():
            return f"[{', '.join(_value(one) for one in value)}]"
    return str(value)


def _text(value: str) -> str:
    """Write a TOML string: JSON's but for the one character that TOML wants escaped too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@dataclass(slots=True, kw_only=True)
class _Table:
    """Where one table of a file stands."""

    line: int
    lines: dict[str, int] = field(default_factory=dict)


def _places(text: str) -> tuple[dict[str, int], list[_Table]]:
    """Find the lines, which the TOML library does not tell: of keys at the top, and of tables."""
    top: dict[str, int] = {}
    tables: list[_Table] = []
    inside: dict[str, int] | None = top
    for line, statement in _statements(text):
        said = tomllib.loads(statement)
        if not statement.lstrip().startswith("["):
            if inside is not None:
                inside.update(dict.fromkeys(said, line))
            continue
        ((name, content),) = said.items()
        if name == TABLE and isinstance(content, list):
            tables.append(_Table(line=line))
            inside = tables[-1].lines
            continue
        inside = None
        if name == TABLE and content and tables:
            tables[-1].lines.update(dict.fromkeys(content, line))
        else:
            top[name] = line
    return top, tables


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement with the line it begins in.

    It is the fewest lines that are TOML by themselves: a text or a list that goes on in the
    next line is not.
    """
    begun: list[str] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        begun.append(line)
        statement = "\n".join(begun)
        try:
            said = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if said:
            yield number - len(begun) + 1, statement
        begun.clear()
