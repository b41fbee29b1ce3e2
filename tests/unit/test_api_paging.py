"""The eleven keys of a page."""

import pytest

from clickledger.api.paging import Page, attributes, read_page
from clickledger.api.requests import Parameters, Reader
from clickledger.errors import InvalidInputError

PATH = "/Advertisers/IR1/Jobs"
FILTERED = f"{PATH}?CreatedAfter=2026-01-01T00%3A00%3A00%2B01%3A00&PageSize=10"


def test_a_page_in_the_middle() -> None:
    assert attributes(PATH, [("CreatedAfter", "2026-01-01T00:00:00+01:00")], Page(2, 10), 35) == {
        "page": "2",
        "numpages": "4",
        "pagesize": "10",
        "total": "35",
        "start": "10",
        "end": "19",
        "uri": f"{FILTERED}&Page=2",
        "firstpageuri": f"{FILTERED}&Page=1",
        "previouspageuri": f"{FILTERED}&Page=1",
        "nextpageuri": f"{FILTERED}&Page=3",
        "lastpageuri": f"{FILTERED}&Page=4",
    }


# page, size, total → numpages, start, end, previous page, next page
PAGES = {
    "the only page": ((1, 10, 3), ("1", "0", "2"), None, None),
    "a full only page": ((1, 10, 10), ("1", "0", "9"), None, None),
    "one row too many": ((1, 10, 11), ("2", "0", "9"), None, 2),
    "the last page": ((2, 10, 11), ("2", "10", "10"), 1, None),
    "an empty list has one page": ((1, 10, 0), ("1", "0", "0"), None, None),
    "beyond the last page": ((9, 10, 11), ("2", "11", "11"), 2, None),
}


@pytest.mark.parametrize(
    ("asked", "positions", "previous", "following"), PAGES.values(), ids=PAGES.keys()
)
def test_positions_and_neighbours(
    asked: tuple[int, int, int],
    positions: tuple[str, str, str],
    previous: int | None,
    following: int | None,
) -> None:
    page, size, total = asked
    found = attributes(PATH, [], Page(page, size), total)
    assert (found["numpages"], found["start"], found["end"]) == positions
    for key, number in (("previouspageuri", previous), ("nextpageuri", following)):
        assert found[key] == ("" if number is None else f"{PATH}?PageSize=10&Page={number}")


def test_defaults_and_the_largest_size() -> None:
    assert read_page(Reader(Parameters())) == Page(1, 1000)
    asked = Parameters([("page", "3"), ("PAGESIZE", "99999")])
    assert read_page(Reader(asked)) == Page(3, 20_000)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "two", "1e3", "٣"])
def test_a_bad_page_is_named(text: str) -> None:
    reader = Reader(Parameters([("Page", text), ("PageSize", text)]))
    read_page(reader)
    with pytest.raises(InvalidInputError) as caught:
        reader.finish()
    assert [one.field for one in caught.value.fields] == ["Page", "PageSize"]
