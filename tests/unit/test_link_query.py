"""A tracking link's query: ours is consumed, reserved is dropped, the rest goes on as it is."""

import pytest

from clickledger.collector.landing import reserved_names
from clickledger.collector.query import ParameterNames, split_query

NAMES = ParameterNames(reserved_names("irclickid"))

CASES: list[tuple[str, bytes, bytes | None, str]] = [
    ("nothing", b"", None, ""),
    ("empty parts", b"&&", None, ""),
    ("deep link", b"u=https%3A%2F%2Fx", b"https%3A%2F%2Fx", ""),
    ("of two the first counts", b"u=a&u=b", b"a", ""),
    ("any case", b"U=a&SUBID1=x&SharedID=y", b"a", ""),
    ("ours, encoded name", b"%75=a&s%75bid1=x", b"a", ""),
    ("an empty deep link is one", b"u=", b"", ""),
    ("unknown goes on", b"utm_source=a&x", None, "utm_source=a&x"),
    ("order and repetition stay", b"b=2&subId1=s&a=1&b=3", None, "b=2&a=1&b=3"),
    ("encoding stays", b"a=%26%20+&b=%zz", None, "a=%26%20+&b=%zz"),
    ("reserved is dropped", b"irclickid=x&a=1&irgwc=0&IRGWC=2&%69rclickid=y", None, "a=1"),
    ("raw bytes are encoded", b"a=\xff\x00\r\n &b=#", None, "a=%FF%00%0D%0A%20&b=%23"),
]


@pytest.mark.parametrize(
    ("query", "deep_link", "passed_on"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_split_query(query: bytes, deep_link: bytes | None, passed_on: str) -> None:
    assert split_query(query, NAMES) == (deep_link, passed_on)


def test_made_up_names_do_not_fill_the_memory() -> None:
    for number in range(3000):
        assert split_query(b"n%d=1" % number, NAMES) == (None, f"n{number}=1")
