"""SQLite's write-ahead log, read past damage: bytes in, bytes out.

SQLite stops at the first frame whose checksum fails and takes the rest for never written.
That is right for the torn end of a log and wrong for a flipped byte in its middle: the frames
behind it are whole. This puts the pages together without that checksum; whether a batch is
what was written, its own checksum says.

Layout from https://www.sqlite.org/walformat.html; the log of a segment is never restarted, so
all its frames carry one salt.
"""

from collections import Counter
from collections.abc import Iterator

_LOG_HEADER = 32
_FRAME_HEADER = 24
_SALT = slice(8, 16)
#: Offsets in the header of a database: page size; write and read version (1: no log); pages.
_PAGE_SIZE = slice(16, 18)
_VERSIONS = slice(18, 20)
_PAGES = slice(28, 32)
_WITHOUT_LOG = b"\x01\x01"
_LARGEST_PAGE = 65536


def image(database: bytes, log: bytes) -> bytes | None:
    """Lay the committed frames of ``log`` over ``database``; None when it is not a database.

    The result is a database without a log.
    """
    page_size = int.from_bytes(database[_PAGE_SIZE], "big")
    page_size = _LARGEST_PAGE if page_size == 1 else page_size
    if page_size < 512 or page_size & (page_size - 1):  # noqa: PLR2004 - SQLite's smallest page
        return None
    pages = bytearray(database)
    frames = list(_frames(log, page_size))
    # What follows the last commit was never finished. The commit's own frame carries the number
    # of pages of the whole file, any other a zero.
    while frames and not frames[-1][1]:
        frames.pop()
    # A damaged frame may claim any page: none can lie beyond those that the log could have made.
    most = len(database) // page_size + len(frames)
    for page, _, start in frames:
        if 1 <= page <= most:
            end = page * page_size
            if len(pages) < end:
                pages.extend(bytes(end - len(pages)))
            pages[end - page_size : end] = log[start : start + page_size]
    pages[_VERSIONS] = _WITHOUT_LOG
    pages[_PAGES] = (len(pages) // page_size).to_bytes(4, "big")
    return bytes(pages)


def _frames(log: bytes, page_size: int) -> Iterator[tuple[int, int, int]]:
    """Yield page number, pages after commit (0: not a commit) and where the page's bytes begin."""
    starts = range(_LOG_HEADER, len(log) - page_size - _FRAME_HEADER + 1, page_size + _FRAME_HEADER)
    headers = [(start, log[start : start + _FRAME_HEADER]) for start in starts]
    # The salt that most frames carry, not the one in the log's header: that may be damaged too.
    salts = Counter(header[_SALT] for _, header in headers if any(header[_SALT]))
    if not salts:
        return
    ((salt, _),) = salts.most_common(1)
    for start, header in headers:
        if header[_SALT] == salt:
            yield (
                int.from_bytes(header[0:4], "big"),
                int.from_bytes(header[4:8], "big"),
                start + _FRAME_HEADER,
            )
