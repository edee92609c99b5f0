"""pymalloc: Python's allocator of blocks up to 512 bytes, in arenas of a megabyte."""

from __future__ import annotations

import ctypes
import functools
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from beamlens.domains.allocator import libc

_NEWEST = (3, 13)
_ARENAS = re.compile(r"^(\d+) arenas \* (\d+) bytes/arena", re.MULTILINE)
_USED = re.compile(r"^# bytes in allocated blocks\s*=\s*([\d,]+)", re.MULTILINE)
_MOST = re.compile(r"^# arenas highwater mark\s*=\s*([\d,]+)", re.MULTILINE)
_CLASS = re.compile(r"^\s+\d+\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SizeClass:
    """Blocks of one size: bytes a block, pools, blocks in use and free."""

    size: int
    pools: int
    used: int
    free: int


@dataclass(frozen=True, slots=True)
class PymallocNumbers:
    """pymalloc at one moment.

    Attributes:
        arenas: Arenas that are held.
        most_arenas: The most that ever were.
        held: Their bytes.
        used: Bytes in blocks that are in use.
        classes: By size of block.
    """

    arenas: int
    most_arenas: int
    held: int
    used: int
    classes: tuple[SizeClass, ...]

    @property
    def usage(self) -> float | None:
        """In use by held, 0 to 1; ``None`` when nothing is held."""
        return self.used / self.held if self.held else None


@functools.cache
def _print_stats() -> Callable[[Any], int] | None:
    """What ``sys._debugmallocstats`` calls, with the stream as its argument; that one prints to descriptor 2."""
    if sys.version_info[:2] > _NEWEST or sys.implementation.name != "cpython":
        return None
    try:
        # A library object of our own: the types of ctypes.pythonapi's functions are everybody's. Holds the GIL.
        found = getattr(ctypes.PyDLL(None), "_PyObject_DebugMallocStats", None)
    except (OSError, TypeError):
        return None
    if found is None:
        return None
    found.restype, found.argtypes = ctypes.c_int, (ctypes.c_void_p,)
    return found  # type: ignore[no-any-return]


def numbers() -> PymallocNumbers | str:
    """Read it, or say why it cannot be. 0.1 ms, and 3 us a megabyte of Python's heap, during which no thread runs."""
    stats = _print_stats()
    if stats is None:
        return f"read from CPython 3.11 to {'.'.join(map(str, _NEWEST))} on Linux only"
    enabled: list[int] = []
    text = libc.printed(lambda stream: enabled.append(stats(stream)))
    if text is None:
        return "no stream in memory is to be had: not Linux, or no descriptor is left"
    if not enabled or not enabled[0]:
        return "pymalloc is not in use (PYTHONMALLOC, or a free-threaded build)"
    return parse(text) or "pymalloc's statistics say what is not known here"


def parse(text: str) -> PymallocNumbers | None:
    """Read the statistics as CPython prints them; ``None`` when they do not have what is needed."""
    arenas, used, most = _ARENAS.search(text), _USED.search(text), _MOST.search(text)
    if arenas is None or used is None or most is None:
        return None
    classes = (SizeClass(*map(int, found)) for found in _CLASS.findall(text))
    return PymallocNumbers(
        arenas=int(arenas[1]),
        most_arenas=_number(most[1]),
        held=int(arenas[1]) * int(arenas[2]),
        used=_number(used[1]),
        classes=tuple(one for one in classes if one.pools),
    )


def _number(text: str) -> int:
    return int(text.replace(",", ""))
