"""Compiled links: what visitors can write does not decide how much memory they take."""

import tracemalloc

from clickledger.collector.links import Link, Links
from clickledger.collector.query import split_query
from clickledger.ids import ClickIds
from clickledger.programs.directory import Directory, Records
from clickledger.programs.model import Ad, Partner, Program

_PROGRAM = Program(
    id=1, advertiser_sid="A", name="x", time_zone="UTC", landing_page="https://shop.example/"
)
_DIRECTORY = Directory(
    Records(
        programs=(_PROGRAM,),
        partners=(Partner(id=10, sid="P", advertiser_sid="A", name="x"),),
        ads=(Ad(id=100, program_id=1, name="x", type="BANNER"),),
    )
)
_MEGABYTE = 1024 * 1024


def find(links: Links, path: bytes) -> Link:
    link = links.find(path)
    assert isinstance(link, Link)
    return link


def test_every_spelling_of_a_link_is_one_link() -> None:
    links = Links(_DIRECTORY, ClickIds([b"k" * 32]))
    link = find(links, b"/c/10/100/1")
    for path in (b"/c/10/100/1/", b"/c/0010/100/1", b"/c/10/000100/01/"):
        assert find(links, path) is link


def test_long_deep_links_and_names_are_not_kept() -> None:
    links = Links(_DIRECTORY, ClickIds([b"k" * 32]))
    filler = b"x" * 100_000
    tracemalloc.start()
    try:
        for number in range(100):
            link = find(links, b"/c/10/100/1")
            assert link.deep(b"https%%3A%%2F%%2Felsewhere.example%%2F%d" % number + filler) is None
            deep_link, _ = split_query(b"n%d" % number + filler + b"=1", link.names)
            assert deep_link is None
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < _MEGABYTE
