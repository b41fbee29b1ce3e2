"""Reading credentials, and whose path it is."""

import base64

import pytest

from clickledger.accounts.model import Account, Kind
from clickledger.api.auth import Credentials, authorize, parse_basic
from clickledger.errors import ForbiddenError, UnauthenticatedError


def basic(text: bytes) -> bytes:
    return b"Basic " + base64.b64encode(text)


GOOD = {
    "plain": (basic(b"IRabc:to-ke~n."), "IRabc", "to-ke~n."),
    "scheme in another case": (b"bAsIc " + base64.b64encode(b"IRabc:t"), "IRabc", "t"),
    "more space": (b"Basic   " + base64.b64encode(b"IRabc:t") + b"  ", "IRabc", "t"),
    "a colon in the token": (basic(b"IRabc:a:b"), "IRabc", "a:b"),
}


@pytest.mark.parametrize(("header", "sid", "token"), GOOD.values(), ids=GOOD.keys())
def test_credentials(header: bytes, sid: str, token: str) -> None:
    assert parse_basic([header]) == Credentials(sid, token)


BAD: dict[str, tuple[list[bytes], str]] = {
    "no header": ([], "No credentials"),
    "two headers": ([basic(b"a:b"), basic(b"c:d")], "Several"),
    "nothing in it": ([b""], "Unknown authentication scheme"),
    "another scheme": ([b"Bearer abc"], "Unknown authentication scheme"),
    "only the scheme": ([b"Basic"], "no ':'"),
    "not Base64": ([b"Basic !!!"], "not Base64"),
    "cut Base64": ([b"Basic QUJD" + b"R"], "not Base64"),
    "not even ASCII": ([b"Basic \xff\xfe"], "not Base64"),
    "not UTF-8": ([basic(b"\xff\xfe:x")], "not Base64"),
    "no colon": ([basic(b"IRabc")], "no ':'"),
    "no SID": ([basic(b":token")], "characters that none has"),
    "no token": ([basic(b"IRabc:")], "characters that none has"),
    "NUL": ([basic(b"IR\0abc:x")], "characters that none has"),
    "line ends": ([basic(b"IRabc:x\r\ny")], "characters that none has"),
    "too long": ([basic(b"IRabc:" + b"x" * 600)], "characters that none has"),
}


@pytest.mark.parametrize(("headers", "message"), BAD.values(), ids=BAD.keys())
def test_a_malformed_header_is_401_with_the_reason(headers: list[bytes], message: str) -> None:
    with pytest.raises(UnauthenticatedError, match=message):
        parse_basic(headers)


def test_a_token_is_never_shown() -> None:
    assert "secret" not in repr(Credentials("IRabc", "secret"))


def account(sid: str, kind: Kind) -> Account:
    return Account(sid=sid, kind=kind, name="A", time_zone="UTC")


@pytest.mark.parametrize("kind", ["advertiser", "partner"])
def test_an_account_enters_its_own_path(kind: Kind) -> None:
    authorize(account("IR1", kind), "IR1", kind)


@pytest.mark.parametrize(
    ("kind", "path_sid", "path_kind", "message"),
    [
        ("advertiser", "IR2", "advertiser", "not the one"),
        ("advertiser", "ir1", "advertiser", "not the one"),
        ("partner", "IR2", "partner", "not the one"),
        ("partner", "IR1", "advertiser", "for brands; you signed in as a partner"),
        ("advertiser", "IR1", "partner", "for partners; you signed in as a brand"),
        ("partner", "IR2", "advertiser", "not the one"),
    ],
)
def test_nobody_else_does(kind: Kind, path_sid: str, path_kind: Kind, message: str) -> None:
    with pytest.raises(ForbiddenError, match=message):
        authorize(account("IR1", kind), path_sid, path_kind)
