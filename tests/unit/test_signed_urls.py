"""Links that are their own permission."""

import pytest

from clickledger.api.signed_urls import SignedUrls
from clickledger.errors import ForbiddenError

JOB = "d8807a9f-a5ee-4e3f-ad2b-3dfd19d1915f"


def signed(*keys: bytes) -> SignedUrls:
    return SignedUrls(lambda: keys)


def parts(path: str) -> tuple[str, str, str, str]:
    empty, results, job, run, expires, signature = path.split("/")
    assert (empty, results) == ("", "results")
    return job, run, expires, signature


def test_a_link_works_until_it_expires() -> None:
    links = signed(b"k" * 32)
    link = parts(links.path(JOB, 2, 1000))
    assert link[:3] == (JOB, "2", "1000")
    links.check(*link, now=999.999)
    with pytest.raises(ForbiddenError, match="expired"):
        links.check(*link, now=1000.0)


def test_a_rotated_key_still_verifies_until_its_overlap_is_over() -> None:
    link = parts(signed(b"old" * 11).path(JOB, 1, 1000))
    signed(b"new" * 11, b"old" * 11).check(*link, now=0.0)
    with pytest.raises(ForbiddenError, match="not made here"):
        signed(b"new" * 11).check(*link, now=0.0)


def test_the_newest_key_signs() -> None:
    link = parts(signed(b"new" * 11, b"old" * 11).path(JOB, 1, 1000))
    signed(b"new" * 11).check(*link, now=0.0)


FORGERIES = {
    "another job": ("e8807a9f-a5ee-4e3f-ad2b-3dfd19d1915f", None, None, None),
    "another run": (None, "3", None, None),
    "a later end": (None, None, "9999", None),
    "an end that is no number": (None, None, "later", None),
    "the run moved into the job": (JOB + "\0" + "2", "1000", "", None),
    "no signature": (None, None, None, ""),
    "a cut signature": (None, None, None, "AAAA"),
    "not even text": (None, None, None, "\udcff\x00ü"),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_changed_link_is_refused(
    forgery: tuple[str | None, str | None, str | None, str | None],
) -> None:
    links = signed(b"k" * 32)
    genuine = parts(links.path(JOB, 2, 1000))
    job, run, expires, signature = (
        old if new is None else new for new, old in zip(forgery, genuine, strict=True)
    )
    with pytest.raises(ForbiddenError, match="not made here"):
        links.check(job, run, expires, signature, now=0.0)
