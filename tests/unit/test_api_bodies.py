"""A JSON body says what a form says."""

import pytest

from clickledger.api.bodies import parse_object
from clickledger.api.requests import MAX_PARAMETERS
from clickledger.errors import InvalidInputError

GOOD: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    "nothing": (b"", []),
    "only space": (b" \r\n", []),
    "null": (b"null", []),
    "an empty object": (b"{}", []),
    "text": (b'{"Name":"J\\u00f6b \\"x\\""}', [("Name", 'Jöb "x"')]),
    "numbers": (b'{"A":1,"B":-2,"C":1.5}', [("A", "1"), ("B", "-2"), ("C", "1.5")]),
    "flags": (b'{"A":true,"B":false}', [("A", "true"), ("B", "false")]),
    "a list repeats the name": (b'{"Ids":[1,"2",null]}', [("Ids", "1"), ("Ids", "2"), ("Ids", "")]),
    "an object is written as headers are": (
        b'{"Headers":{"X-Key":"a: b","X-Number":7}}',
        [("Headers", "X-Key: a: b"), ("Headers", "X-Number: 7")],
    ),
    "what is empty is given all the same": (
        b'{"A":null,"B":[],"C":{},"D":""}',
        [("A", ""), ("B", ""), ("C", ""), ("D", "")],
    ),
    "NUL": (b'{"A":"\\u0000"}', [("A", "\0")]),
}


@pytest.mark.parametrize(("body", "pairs"), GOOD.values(), ids=GOOD.keys())
def test_an_object_as_parameters(body: bytes, pairs: list[tuple[str, str]]) -> None:
    assert parse_object(body) == pairs


BAD: dict[str, tuple[bytes, str]] = {
    "a form": (b"Name=x", "not JSON"),
    "cut off": (b'{"Name":', "not JSON"),
    "two objects": (b"{}{}", "not JSON"),
    "not UTF-8": (b'{"Name":"\xff"}', "not JSON"),
    "half a surrogate pair": (b'{"Name":"\\ud800"}', "not JSON"),
    "a number that is none": (b'{"A":NaN}', "not JSON"),
    "a number beyond all": (b'{"A":' + b"9" * 5000 + b"}", "not JSON"),
    "very deep": (b"[" * 100_000, "not JSON"),
    "a list": (b"[]", "JSON object"),
    "text": (b'"Name"', "JSON object"),
    "a list in a list": (b'{"A":[[1]]}', "A: Expected text"),
    "an object in a list": (b'{"A":[{}]}', "A: Expected text"),
    "a list in an object": (b'{"A":{"B":[]}}', "A: Expected text"),
    "too much": (b'{"A":[' + b"1," * MAX_PARAMETERS + b"1]}", "at most"),
}


@pytest.mark.parametrize(("body", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_no_object_of_parameters(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        parse_object(body)


def test_as_many_parameters_as_a_form_may_have() -> None:
    body = b'{"A":[' + b"1," * (MAX_PARAMETERS - 1) + b"1]}"
    assert len(parse_object(body)) == MAX_PARAMETERS
