"""Which bytes answer a request for a file."""

import gzip
import hashlib
from base64 import b64encode
from collections.abc import Mapping
from http import HTTPStatus

import pytest

from clickledger.api.errors import RangeError
from clickledger.api.representations import Selection, accepts_gzip, compress, select

SHA256 = hashlib.sha256(b"content").hexdigest()
TAG = f'"{SHA256}"'
GZIP_TAG = f'"{SHA256}-gzip"'
DIGEST = f"sha-256=:{b64encode(hashlib.sha256(b'content').digest()).decode()}:"


def chosen(request: Mapping[str, str], *, size: int = 100, head: bool = False) -> Selection:
    return select(size=size, sha256=SHA256, request=request, head=head)


def test_the_whole_file() -> None:
    assert chosen({}) == Selection(
        status=HTTPStatus.OK,
        headers={
            "Accept-Ranges": "bytes",
            "Unencoded-Digest": DIGEST,
            "Vary": "Accept-Encoding",
            "ETag": TAG,
            "Repr-Digest": DIGEST,
            "Content-Length": "100",
        },
        span=(0, 100),
    )


def test_compressed_it_is_another_representation() -> None:
    assert chosen({"accept-encoding": "gzip"}) == Selection(
        status=HTTPStatus.OK,
        headers={
            "Accept-Ranges": "bytes",
            "Unencoded-Digest": DIGEST,
            "Vary": "Accept-Encoding",
            "ETag": GZIP_TAG,
            "Content-Encoding": "gzip",
        },
        span=(0, 100),
        gzip=True,
    )


RANGES = {
    "first bytes": ("bytes=0-9", (0, 10), "bytes 0-9/100"),
    "one byte": ("bytes=5-5", (5, 6), "bytes 5-5/100"),
    "from a position on": ("bytes=90-", (90, 100), "bytes 90-99/100"),
    "last bytes": ("bytes=-10", (90, 100), "bytes 90-99/100"),
    "more last bytes than there are": ("bytes=-1000", (0, 100), "bytes 0-99/100"),
    "an end beyond the file": ("bytes=50-1000", (50, 100), "bytes 50-99/100"),
    "another spelling of the unit": ("Bytes=0-9", (0, 10), "bytes 0-9/100"),
}


@pytest.mark.parametrize(("asked", "span", "content_range"), RANGES.values(), ids=RANGES.keys())
def test_a_range(asked: str, span: tuple[int, int], content_range: str) -> None:
    selection = chosen({"range": asked, "accept-encoding": "gzip"})
    assert (selection.status, selection.span, selection.gzip) == (206, span, False)
    assert selection.headers["Content-Range"] == content_range
    assert selection.headers["Content-Length"] == str(span[1] - span[0])
    assert (selection.headers["ETag"], selection.headers["Repr-Digest"]) == (TAG, DIGEST)


WHOLE = {
    "several ranges": {"range": "bytes=0-1,5-6"},
    "another unit": {"range": "lines=0-1"},
    "end before start": {"range": "bytes=9-0"},
    "no numbers": {"range": "bytes=-"},
    "not a range": {"range": "bytes=a-b"},
    "numbers without end": {"range": f"bytes=0-{'9' * 5000}"},
    "a range of an older file": {"range": "bytes=0-1", "if-range": '"other"'},
    "a range of the compressed file": {"range": "bytes=0-1", "if-range": GZIP_TAG},
    "a range by date": {"range": "bytes=0-1", "if-range": "Wed, 01 Jan 2025 00:00:00 GMT"},
}


@pytest.mark.parametrize("request_headers", WHOLE.values(), ids=WHOLE.keys())
def test_the_whole_file_instead_of_a_range(request_headers: dict[str, str]) -> None:
    selection = chosen(request_headers)
    assert (selection.status, selection.span) == (200, (0, 100))


def test_a_range_of_the_same_file() -> None:
    assert chosen({"range": "bytes=0-1", "if-range": TAG}).status == HTTPStatus.PARTIAL_CONTENT


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_outside_the_file(asked: str) -> None:
    with pytest.raises(RangeError) as caught:
        chosen({"range": asked})
    assert caught.value.size == 100


def test_head_knows_no_ranges() -> None:
    assert chosen({"range": "bytes=0-9"}, head=True).status == HTTPStatus.OK


CACHED = {
    "the file": ({"if-none-match": TAG}, TAG),
    "weakly": ({"if-none-match": f"W/{TAG}"}, TAG),
    "one of several": ({"if-none-match": f'"other", {TAG}'}, TAG),
    "anything": ({"if-none-match": "*"}, TAG),
    "the compressed file": ({"if-none-match": GZIP_TAG, "accept-encoding": "gzip"}, GZIP_TAG),
    "before any range": ({"if-none-match": TAG, "range": "bytes=500-"}, TAG),
}


@pytest.mark.parametrize(("request_headers", "tag"), CACHED.values(), ids=CACHED.keys())
def test_not_modified(request_headers: dict[str, str], tag: str) -> None:
    selection = chosen(request_headers)
    assert (selection.status, selection.span) == (304, None)
    assert selection.headers["ETag"] == tag


@pytest.mark.parametrize(
    "request_headers",
    [
        {"if-none-match": '"other"'},
        {"if-none-match": GZIP_TAG},
        {"if-none-match": TAG, "accept-encoding": "gzip"},
    ],
)
def test_another_representation_is_sent(request_headers: dict[str, str]) -> None:
    assert chosen(request_headers).status == HTTPStatus.OK


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("gzip;q=0.5, identity;q=1", False),
        ("gzip;q=nonsense", True),
        ("br;q=1.0", False),
    ],
)
def test_accepts_gzip(header: str, wanted: bool) -> None:
    assert accepts_gzip(header) is wanted


def test_compression_is_deterministic_and_reads_back() -> None:
    chunks = [b"a,b\n" * 1000, b"", b"c,d\n" * 1000]
    packed = b"".join(compress(chunks))
    assert packed == b"".join(compress(chunks))
    assert gzip.decompress(packed) == b"".join(chunks)
    assert gzip.decompress(b"".join(compress([]))) == b""
