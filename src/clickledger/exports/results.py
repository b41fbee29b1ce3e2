"""Reading a result: an ordered list of parts that is served as one file."""

from bisect import bisect_right
from collections.abc import Generator, Mapping
from itertools import accumulate
from pathlib import Path

import msgspec

from clickledger.errors import CorruptedError
from clickledger.exports import manifest as manifests
from clickledger.exports.formats.registry import FORMATS
from clickledger.exports.manifest import Manifest

_CHUNK = 1024 * 1024


class Result:
    """A finished export."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        #: Where each part begins in the file.
        self._starts = [0, *accumulate(part.bytes for part in manifest.parts)]
        self._format = FORMATS[manifest.format]

    @classmethod
    def open(cls, folder: Path) -> "Result":
        """Open the result in ``folder``.

        Raises:
            NotFoundError: there is no whole result in this folder.
            CorruptedError: a part is missing or has another size than was written.
        """
        found = manifests.read(folder)
        for part in found.parts:
            path = folder / part.name
            if not path.is_file() or path.stat().st_size != part.bytes:
                raise CorruptedError(f"{part.name} of a result is not as it was written")
        return cls(folder, found)

    @property
    def manifest(self) -> Mapping[str, object]:
        """The manifest as plain JSON."""
        plain: dict[str, object] = msgspec.json.decode(msgspec.json.encode(self._manifest))
        return plain

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._manifest.bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole file, in hexadecimal."""
        return self._manifest.sha256

    @property
    def rows(self) -> int:
        """Clicks in the file."""
        return self._manifest.rows

    @property
    def content_type(self) -> str:
        """Media type of the file."""
        return self._format.content_type

    @property
    def filename(self) -> str:
        """What to call the file, e.g. ``clicks-1000-2026-05-01.csv``."""
        found = self._manifest
        return f"clicks-{found.program_id}-{found.date}.{self._format.extension}"

    def read(self, start: int, end: int) -> Generator[bytes]:
        """Read bytes ``[start, end)`` of the file, at most 1 MiB at a time.

        Raises:
            CorruptedError: a part has become shorter meanwhile.
        """
        position = start
        end = min(end, self.size)
        while position < end:
            number = bisect_right(self._starts, position) - 1
            part = self._manifest.parts[number]
            stop = min(end, self._starts[number + 1])
            with (self._folder / part.name).open("rb", buffering=0) as file:
                file.seek(position - self._starts[number])
                while position < stop:
                    chunk = file.read(min(_CHUNK, stop - position))
                    if not chunk:
                        raise CorruptedError(f"{part.name} of a result has become shorter")
                    position += len(chunk)
                    yield chunk
