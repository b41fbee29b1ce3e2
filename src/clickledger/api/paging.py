"""Pages of a list: the eleven keys of the wire (impact-api 1.5), all of them text."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from clickledger.api.requests import Reader

DEFAULT_PAGE_SIZE = 1000
#: Known clients ask for 20,000 everywhere; more is cut to it and ``@pagesize`` says so.
MAX_PAGE_SIZE = 20_000


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for."""

    #: From 1.
    number: int
    size: int


def read_page(reader: Reader) -> Page:
    """Read ``Page`` and ``PageSize``."""
    return Page(
        number=reader.number("Page", default=1, maximum=10**9),
        size=reader.number("PageSize", default=DEFAULT_PAGE_SIZE, maximum=MAX_PAGE_SIZE),
    )


def attributes(
    path: str, filters: Sequence[tuple[str, str]], page: Page, total: int
) -> dict[str, str]:
    """Describe a page; each URI is host-less and carries the filters and the page size on.

    An empty list has one, empty, page. A page beyond the last is empty and leads back to it.
    """
    pages = max(1, -(-total // page.size))
    start = min((page.number - 1) * page.size, total)
    end = min(start + page.size, total)

    def uri(number: int) -> str:
        query = [*filters, ("PageSize", str(page.size)), ("Page", str(number))]
        return f"{path}?{urlencode(query)}"

    return {
        "page": str(page.number),
        "numpages": str(pages),
        "pagesize": str(page.size),
        "total": str(total),
        "start": str(start),
        "end": str(max(start, end - 1)),
        "uri": uri(page.number),
        "firstpageuri": uri(1),
        "previouspageuri": uri(min(page.number - 1, pages)) if page.number > 1 else "",
        "nextpageuri": uri(page.number + 1) if page.number < pages else "",
        "lastpageuri": uri(pages),
    }
