"""A JSON body as parameters: whatever a form can say, an object can say too, name by name.

A list is the repeated parameter, an object its members written ``name: value`` as headers are,
and ``null``, ``[]``, ``{}`` and ``""`` the empty value.
"""

from collections.abc import Iterator

import msgspec

from clickledger.api.requests import MAX_PARAMETERS
from clickledger.errors import InvalidInputError

Pair = tuple[str, str]


def parse_object(body: bytes) -> list[Pair]:
    """Read a body of JSON; one that is empty or ``null`` says nothing.

    Raises:
        InvalidInputError: it is not JSON, not an object, or nested deeper than a parameter.
    """
    if not body.strip():
        return []
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(f"The body is not JSON: {error}.") from None
    if value is None:
        return []
    if not isinstance(value, dict):
        raise InvalidInputError('The body must be a JSON object, as in {"Name": "value"}.')
    pairs = [pair for name, one in value.items() for pair in _pairs(name, one)]
    if len(pairs) > MAX_PARAMETERS:
        raise InvalidInputError(f"A request may carry at most {MAX_PARAMETERS} parameters.")
    return pairs


def _pairs(name: str, value: object) -> Iterator[Pair]:
    match value:
        case list() if value:
            for one in value:
                yield name, _text(name, one)
        case dict() if value:
            for key, one in value.items():
                yield name, f"{key}: {_text(name, one)}"
        case list() | dict():
            yield name, ""
        case _:
            yield name, _text(name, value)


def _text(name: str, value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
        case _:
            raise InvalidInputError.of(
                name, "Expected text, a number, true or false, or one level of these"
            )
