"""SQLite's write-ahead log, read past damage: bytes in, bytes out.

SQLite stops at the first frame whose checksum fails and takes the rest for never written.
That is right for the torn end of a log and wrong for a flipped byte in its middle: the frames
behind it are whole. This puts the pages together without that checksum; whether a batch is
what was written, its own checksum says.

Layout from https://www.sqlite.org/walformat.html; the log of a segment is never restarted, so
all its frames carry one salt.
"""

import struct
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_LOG_HEADER = 32
_FRAME_HEADER = 24
#: Words of the log's checksums: the last bit of the first four bytes says which end comes first.
_MAGIC = {b"\x37\x7f\x06\x82": "<", b"\x37\x7f\x06\x83": ">"}
_NATIVE = "<" if sys.byteorder == "little" else ">"
_SUMMED = slice(0, 8)
_SALT = slice(8, 16)
_SUM = slice(16, 24)
_LOG_SUM = slice(24, 32)
#: Offsets in the header of a database: page size; write and read version (1: no log); pages.
_PAGE_SIZE = slice(16, 18)
_VERSIONS = slice(18, 20)
_PAGES = slice(28, 32)
_WITHOUT_LOG = b"\x01\x01"
_SMALLEST_PAGE, _LARGEST_PAGE = 512, 65536


@dataclass(frozen=True, slots=True)
class _Frame:
    """One page as a commit left it."""

    header: bytes
    #: Where its page begins in the log.
    start: int

    @property
    def page(self) -> int:
        return int.from_bytes(self.header[0:4], "big")

    @property
    def commits(self) -> bool:
        """Whether it is the last of a commit: it says how many pages the file has then."""
        return self.header[4:8] != bytes(4)


def image(database: bytes, log: bytes, *, torn_end: bool) -> bytes | None:
    """Lay the commits of ``log`` over ``database``; None when that is not a database.

    The last commit may have been under way when the process or the power went: when a frame of
    it does not hold, it is left out, unless ``torn_end`` wants it. The result needs no log.
    """
    page_size = int.from_bytes(database[_PAGE_SIZE], "big")
    page_size = _LARGEST_PAGE if page_size == 1 else page_size
    if page_size < _SMALLEST_PAGE or page_size & (page_size - 1):
        return None
    frames = _committed(log, page_size, torn_end=torn_end)
    pages = bytearray(database)
    # A damaged frame may claim any page: none can lie beyond those that the log could have made.
    most = len(database) // page_size + len(frames)
    for frame in frames:
        if frame is not None and 1 <= frame.page <= most:
            end = frame.page * page_size
            if len(pages) < end:
                pages.extend(bytes(end - len(pages)))
            pages[end - page_size : end] = log[frame.start : frame.start + page_size]
    pages[_VERSIONS] = _WITHOUT_LOG
    pages[_PAGES] = (len(pages) // page_size).to_bytes(4, "big")
    return bytes(pages)


def _committed(log: bytes, page_size: int, *, torn_end: bool) -> list[_Frame | None]:
    """List the frames through the last commit; None stands for one that is not of this log."""
    frames = _frames(log, page_size)
    ends = [at for at, frame in enumerate(frames) if frame is not None and frame.commits]
    if not ends:
        return []
    first = ends[-2] + 1 if len(ends) > 1 else 0
    if torn_end or _holds(log, page_size, frames, first, ends[-1]):
        return frames[: ends[-1] + 1]
    return frames[:first]


def _frames(log: bytes, page_size: int) -> list[_Frame | None]:
    starts = range(_LOG_HEADER, len(log) - page_size - _FRAME_HEADER + 1, page_size + _FRAME_HEADER)
    headers = [(start, log[start : start + _FRAME_HEADER]) for start in starts]
    # The salt that most frames carry, not the one in the log's header: that may be damaged too.
    salts = Counter(header[_SALT] for _, header in headers if any(header[_SALT]))
    salt = salts.most_common(1)[0][0] if salts else None
    return [
        _Frame(header, start + _FRAME_HEADER) if header[_SALT] == salt else None
        for start, header in headers
    ]


def _holds(
    log: bytes, page_size: int, frames: Sequence[_Frame | None], first: int, last: int
) -> bool:
    """Tell whether the frames from ``first`` to ``last`` are all there, as they were written.

    A frame's sum goes on from the one before it, so each can be checked by itself.
    """
    order = _MAGIC.get(log[:4], _NATIVE)
    for at in range(first, last + 1):
        frame = frames[at]
        before = frames[at - 1] if at else None
        if frame is None or (at and before is None):
            return False
        begin = log[_LOG_SUM] if before is None else before.header[_SUM]
        summed = frame.header[_SUMMED] + log[frame.start : frame.start + page_size]
        if _sum(summed, begin, order) != frame.header[_SUM]:
            return False
    return True


def _sum(data: bytes, begin: bytes, order: str) -> bytes:
    one, two = struct.unpack(">II", begin)
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        one = (one + even + two) & 0xFFFF_FFFF
        two = (two + odd + one) & 0xFFFF_FFFF
    return struct.pack(">II", one, two)
