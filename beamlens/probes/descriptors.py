"""Open descriptors: what they are, and which Python objects hold them."""

from __future__ import annotations

import _socket
import functools
import io
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from beamlens.probes import process
from beamlens.probes.heap.reading import attributes
from beamlens.probes.slices import Slices

Kind = Literal[
    "file", "socket", "pipe", "eventfd", "epoll", "memfd", "timerfd", "signalfd", "inotify", "io_uring", "pidfd",
    "other",
]  # fmt: skip
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]

_FOLDER = "/proc/self/fd"
_MOST = 1 << 20
_PATH_MAX = 4096
_ANONYMOUS: dict[str, Kind] = {
    "[eventfd]": "eventfd", "[eventpoll]": "epoll", "[timerfd]": "timerfd", "[signalfd]": "signalfd",
    "inotify": "inotify", "[io_uring]": "io_uring", "[pidfd]": "pidfd",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scan:
    """The open descriptors at one moment.

    Attributes:
        targets: Descriptor to what it points at: a path, ``socket:[...]``.
        complete: Whether all were read before the time was up.
        seconds: How long it took.
    """

    targets: dict[int, str]
    complete: bool
    seconds: float


def scan(seconds: float = 2.0) -> Scan:
    """Read what every descriptor points at; about 4 us each.

    Needs no descriptor of its own, so it also works when none is left. Each number is asked for with the GIL held, in
    slices of two milliseconds: calls that give the GIL away would each wait for a busy thread to give it back, which
    makes minutes of fifty thousand.

    Args:
        seconds: When to give up; what was read until then is returned.
    """
    began = time.monotonic()
    found: dict[int, str] = {}
    if not os.path.isdir(_FOLDER):  # noqa: PTH112 - needs no descriptor
        return Scan(found, complete=False, seconds=0.0)
    slices, link = Slices(), _reader()
    for number in range(_table_size()):
        slices.pause()
        if number % 256 == 0:
            if time.monotonic() - began > seconds:
                return Scan(found, complete=False, seconds=time.monotonic() - began)
            # The table of numbers never shrinks: where the system tells how many are open, stop when all are seen.
            if number and 0 < (process.descriptors_by_stat() or 0) <= len(found):
                break
        target = link(number)
        if target is not None:
            found[number] = target
    return Scan(found, complete=True, seconds=time.monotonic() - began)


def prepare() -> None:
    """Load what a scan needs, while there is a descriptor left to load it with."""
    _c_readlink()


def targets() -> dict[int, str]:
    """Descriptor to what it points at; empty where the system does not tell. See `scan`."""
    return scan().targets


def _table_size() -> int:
    """Descriptor numbers below this one may be open."""
    try:
        with open("/proc/self/status", "rb") as file:  # noqa: PTH123 - often, and small
            for line in file:
                if line.startswith(b"FDSize:"):
                    return min(int(line.split()[1]), _MOST)
    except (OSError, ValueError):  # no descriptor left
        pass
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(soft, _MOST)


def _reader() -> Callable[[int], str | None]:
    """Reads one link: with the GIL held where the C library can be called so."""
    try:
        read = _c_readlink()
    except OSError:  # no descriptor left to load it with: another time, perhaps
        read = None
    if read is None:
        return _link_plainly
    import ctypes

    buffer = ctypes.create_string_buffer(_PATH_MAX)

    def link(number: int) -> str | None:
        size = read(b"/proc/self/fd/%d" % number, buffer, _PATH_MAX)
        return None if size < 0 else os.fsdecode(bytes(memoryview(buffer)[:size]))

    return link


@functools.cache
def _c_readlink() -> Any:
    try:
        import ctypes

        read = ctypes.PyDLL(None).readlink
        read.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
        read.restype = ctypes.c_ssize_t
    except (ImportError, AttributeError):
        return None
    return read


def _link_plainly(number: int) -> str | None:
    try:
        return os.readlink(f"{_FOLDER}/{number}")  # noqa: PTH115 - text is wanted
    except OSError:
        return None


def kind_of(target: str) -> Kind:
    """The kind of a target."""
    if target.startswith("socket:"):
        return "socket"
    if target.startswith("pipe:"):
        return "pipe"
    if target.startswith("/memfd:"):
        return "memfd"
    if target.startswith("anon_inode:"):
        return _ANONYMOUS.get(target.removeprefix("anon_inode:"), "other")
    return "file" if target.startswith("/") else "other"


def inode_of(target: str) -> int | None:
    """The inode that a target tells: of sockets and pipes."""
    name, _, rest = target.partition(":[")
    return int(rest[:-1]) if name in ("socket", "pipe") and rest[:-1].isdigit() else None


def identity(number: int) -> str | None:
    """What tells this descriptor from a later one of the same number: device and inode; ``None`` when not open.

    Descriptors of the kernel's anonymous file (eventfd, epoll, ...) share one inode and cannot be told apart.
    """
    try:
        status = os.fstat(number)
    except OSError:
        return None
    return f"{status.st_dev:x}.{status.st_ino}"


def describe(found: list[str]) -> str:
    """Targets in a few words, the most frequent first: ``24 sockets; 3 files like /tmp/x-#.log``."""
    groups = Counter(_group(target) for target in found)
    parts = []
    for (kind, pattern), count in groups.most_common(3):
        parts.append(f"{count} {kind}{'s' if count != 1 else ''}" + (f" like {pattern}" if pattern else ""))
    return "; ".join(parts)


def _group(target: str) -> tuple[Kind, str]:
    kind = kind_of(target)
    return kind, re.sub(r"[0-9a-f]{6,}|\d+", "#", target) if kind == "file" else ""


def descriptors_of(value: Any, depth: int = 3) -> list[int]:
    """Descriptors that an object holds, itself or in its attributes. Calls nothing of the user's."""
    number = _fileno(value)
    if number is not None:
        return [number]
    if depth <= 0:
        return []
    # By its type and never by isinstance(), which asks an object for its class: a lazy one is made by that.
    kind = type(value)
    if issubclass(kind, tuple):
        inner = list(tuple.__iter__(value))[:10]
    elif issubclass(kind, list):
        inner = list(list.__iter__(value))[:10]
    elif issubclass(kind, dict):
        inner = list(dict.values(value))[:10]
    else:
        inner = list((attributes(value) or {}).values())[:30]
    return [number for item in inner for number in descriptors_of(item, depth - 1)]


def _fileno(value: Any) -> int | None:
    kind = type(value)
    try:
        if issubclass(kind, _socket.socket):
            return _socket.socket.fileno(value)
        if issubclass(kind, io.FileIO):
            return io.FileIO.fileno(value)
        for buffered in (io.BufferedReader, io.BufferedWriter, io.BufferedRandom):
            if issubclass(kind, buffered):
                return _fileno(buffered.__dict__["raw"].__get__(value))
        if issubclass(kind, io.TextIOWrapper):
            return _fileno(io.TextIOWrapper.__dict__["buffer"].__get__(value))
    except (OSError, ValueError):  # closed, detached
        return None
    return None
