"""A power cut, rebuilt: of all that a process wrote, only what it had synced is left.

``disk.c`` (tests/crash/powercut) records what a process asks of the file system below one folder.
``Replay`` plays the record back and builds the folder as a cut at any event would leave it. The
rules are POSIX's, harsher than most file systems: bytes count when their file was synced after
they were written, a name (made, moved or removed) when its folder was.

Any process can be run on such a disk; what it acknowledged is noted in the same record, by itself
or by the client that got the answer (``acknowledge``): whatever was synced later than that was
not durable when it was promised.
"""

import importlib.util
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

_RECORD = struct.Struct("<IIQQII")
#: What a disk writes whole.
_SECTOR = 512


class Kind(IntEnum):
    """What happened; the numbers of disk.c."""

    CREATE = 1
    OPEN = 2
    WRITE = 3
    TRUNCATE = 4
    SYNC_BEGIN = 5
    SYNC_END = 6
    RENAME = 7
    UNLINK = 8
    MKDIR = 9
    RMDIR = 10
    ACKNOWLEDGE = 11
    SEND = 12
    LINK = 13


@dataclass(frozen=True, slots=True)
class Event:
    """One record."""

    kind: Kind
    pid: int
    inode: int
    number: int
    first: bytes
    second: bytes


def compile_disk(source: Path, into: Path) -> Path:
    """Compile disk.c with the machine's C compiler, or else with the one that `make` installs."""
    library = into / "disk.so"
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    command = [*_compiler(), *flags, "-o", str(library), str(source), "-lpthread"]
    subprocess.run(command, check=True)  # noqa: S603 - our own source
    return library


def _compiler() -> list[str]:
    found = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if found is not None:
        return [found]
    if importlib.util.find_spec("ziglang") is None:
        raise RuntimeError("the power-cut tests need a C compiler: run them by `make`, or set CC")
    return [sys.executable, "-m", "ziglang", "cc"]


def environment(library: Path, root: Path, log: Path, fault: Path | None = None) -> dict[str, str]:
    """Name the variables that put a process on a recording disk."""
    names = {
        "LD_PRELOAD": str(library),
        "POWERCUT_ROOT": str(root.resolve()),
        "POWERCUT_LOG": str(log.resolve()),
    }
    return names if fault is None else {**names, "POWERCUT_FAULT": str(fault.resolve())}


def acknowledge(log: Path, what: bytes) -> None:
    """Note in the record that ``what`` was promised to somebody, before now."""
    record = _RECORD.pack(Kind.ACKNOWLEDGE, os.getpid(), 0, 0, 0, len(what)) + what
    handle = os.open(log, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(handle, record)
    finally:
        os.close(handle)


def events(log: Path) -> Iterator[Event]:
    """Read a record; what was being added when it was read, or when its process died, is left."""
    data = log.read_bytes()
    at = 0
    while at + _RECORD.size <= len(data):
        kind, pid, inode, number, first, second = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        end = at + first + second
        if end > len(data):
            return
        yield Event(Kind(kind), pid, inode, number, data[at : at + first], data[at + first : end])
        at = end


@dataclass(slots=True, eq=False)
class _File:
    """Bytes on the disk, and the changes since: (offset, data), or (size, None)."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self, count: int) -> None:
        for offset, data in self.pending[:count]:
            _apply(self.durable, offset, data)
        del self.pending[:count]

    def at_cut(self, chance: random.Random | None) -> bytes:
        if chance is None or not self.pending:
            return bytes(self.durable)
        content = bytearray(self.durable)
        for offset, data in self.pending:
            if data is None:
                if chance.random() < 0.5:  # noqa: PLR2004 - a coin
                    _apply(content, offset, data)
                continue
            kept = chance.choice((0.0, 0.5, 1.0))
            start = 0
            while start < len(data):
                end = start + _SECTOR - (offset + start) % _SECTOR
                if chance.random() < kept:
                    _apply(content, offset + start, data[start:end])
                start = end
        return bytes(content)


@dataclass(slots=True, eq=False)
class _Folder:
    """Names on the disk and as the process sees them, and the changes since: (name, what)."""

    durable: dict[str, "_File | _Folder"] = field(default_factory=dict)
    names: dict[str, "_File | _Folder"] = field(default_factory=dict)
    #: Each step is whole: a rename within a folder happens or does not.
    pending: list[list[tuple[str, "_File | _Folder | None"]]] = field(default_factory=list)

    def change(self, *steps: tuple[str, "_File | _Folder | None"]) -> None:
        for name, node in steps:
            _name(self.names, name, node)
        self.pending.append(list(steps))

    def sync(self, count: int) -> None:
        for steps in self.pending[:count]:
            for name, node in steps:
                _name(self.durable, name, node)
        del self.pending[:count]

    def at_cut(self, chance: random.Random | None) -> dict[str, "_File | _Folder"]:
        names = dict(self.durable)
        if chance is not None:
            # A journal keeps the order of the changes of a folder.
            for steps in self.pending[: chance.randint(0, len(self.pending))]:
                for name, node in steps:
                    _name(names, name, node)
        return names


class Replay:
    """The disk, one event at a time. ``base``: what was there, durable, before the record began."""

    def __init__(self, base: Path | None = None) -> None:
        self._root = _Folder() if base is None else _load(base)
        self._inodes: dict[int, _File | _Folder] = {}
        self._syncs: dict[tuple[int, int], tuple[_File | _Folder, int]] = {}
        #: What was promised so far.
        self.acknowledged: list[bytes] = []

    def play(self, event: Event) -> None:  # noqa: C901 - one case for each kind of event
        """Let one event happen."""
        path = os.path.normpath(os.fsdecode(event.first))
        match event.kind:
            case Kind.CREATE | Kind.MKDIR:
                node = _File() if event.kind is Kind.CREATE else _Folder()
                self._inodes[event.inode] = node
                folder, name = self._place(path)
                folder.change((name, node))
            case Kind.OPEN:
                self._inodes[event.inode] = self._find(path)
            case Kind.WRITE:
                self._file(event.inode).pending.append((event.number, event.second))
            case Kind.TRUNCATE:
                self._file(event.inode).pending.append((event.number, None))
            case Kind.SYNC_BEGIN:
                node = self._inodes[event.inode]
                self._syncs[event.pid, event.number] = (node, len(node.pending))
            case Kind.SYNC_END:
                node, count = self._syncs.pop((event.pid, event.number))
                self._sync(node, count)
            case Kind.RENAME:
                self._rename(path, os.path.normpath(os.fsdecode(event.second)))
            case Kind.LINK:
                folder, name = self._place(os.path.normpath(os.fsdecode(event.second)))
                folder.change((name, self._find(path)))
            case Kind.UNLINK | Kind.RMDIR:
                folder, name = self._place(path)
                folder.change((name, None))
            case Kind.ACKNOWLEDGE:
                self.acknowledged.append(event.second)
            case Kind.SEND:
                pass

    def cut(self, into: Path, chance: random.Random | None = None) -> None:
        """Build in ``into`` what a power cut now leaves.

        Without ``chance`` nothing survives that was not synced. With it, any part of that may:
        single sectors of single writes, and the first changes of each folder.
        """
        shutil.rmtree(into, ignore_errors=True)
        _build(self._root, into, chance)

    def _sync(self, node: "_File | _Folder", count: int) -> None:
        node.sync(count)
        # Another sync of the same file is under way: this one has done a part of it.
        for key, (other, left) in list(self._syncs.items()):
            if other is node:
                self._syncs[key] = (other, max(0, left - count))

    def _rename(self, old: str, new: str) -> None:
        source, old_name = self._place(old)
        target, new_name = self._place(new)
        node = source.names[old_name]
        if source is target:
            source.change((old_name, None), (new_name, node))
        else:
            target.change((new_name, node))
            source.change((old_name, None))

    def _place(self, path: str) -> tuple[_Folder, str]:
        parent, _, name = path.rpartition("/")
        folder = self._find(parent)
        assert isinstance(folder, _Folder)  # noqa: S101 - the kernel let it happen
        return folder, name

    def _find(self, path: str) -> "_File | _Folder":
        node: _File | _Folder = self._root
        for part in path.split("/"):
            if part in ("", "."):
                continue
            assert isinstance(node, _Folder)  # noqa: S101 - the kernel let it happen
            node = node.names[part]
        return node

    def _file(self, inode: int) -> _File:
        node = self._inodes[inode]
        assert isinstance(node, _File)  # noqa: S101 - the kernel let it happen
        return node


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    end = offset if data is None else offset + len(data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if data is None:
        del content[offset:]
    else:
        content[offset:end] = data


def _name(names: dict[str, "_File | _Folder"], name: str, node: "_File | _Folder | None") -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _load(folder: Path) -> _Folder:
    found: Mapping[str, _File | _Folder] = {
        path.name: _load(path) if path.is_dir() else _File(bytearray(path.read_bytes()))
        for path in folder.iterdir()
    }
    return _Folder(durable=dict(found), names=dict(found))


def _build(folder: _Folder, into: Path, chance: random.Random | None) -> None:
    into.mkdir(parents=True)
    for name, node in folder.at_cut(chance).items():
        if isinstance(node, _Folder):
            _build(node, into / name, chance)
        else:
            (into / name).write_bytes(node.at_cut(chance))
