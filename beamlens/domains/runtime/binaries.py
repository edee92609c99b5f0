"""Large binary values: bytes, bytearrays, maps of files, NumPy arrays; by who holds them.

A memoryview has no memory of its own: what it views counts.
"""

from __future__ import annotations

import gc
import mmap
import sys
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from beamlens.probes.frames import is_own_module
from beamlens_actors import clock

EVERY = 60.0
"""Seconds between two scans for `Scans.leak`."""

_MOST_BLOCKS = 8_000_000
_LONGEST = 2.0
_SLICE = 0.002
_PAUSE = 0.0005
_MOST_BINARIES = 500_000
_MOST_SIZES = 10
_LEAST = 512
_CONTAINERS = frozenset({dict, list, tuple, set, frozenset, deque, defaultdict, OrderedDict})
_HEAP_TYPE = 1 << 9


@dataclass(slots=True)
class Group:
    """Binaries of one type in holders of one kind.

    Attributes:
        binary: Type of the values.
        holder: A module's variable, or the type of what holds them.
        count: How many.
        size: Bytes of all.
        largest: The ten largest sizes in bytes.
    """

    binary: str
    holder: str
    count: int = 0
    size: int = 0
    largest: list[int] = field(default_factory=list)

    @property
    def pid(self) -> str:
        """What `binary_info` takes."""
        return f"{self.binary} in {self.holder}"

    def add(self, size: int) -> None:
        """Count one."""
        self.count += 1
        self.size += size
        if len(self.largest) < _MOST_SIZES or size > self.largest[-1]:
            self.largest = sorted([*self.largest, size], reverse=True)[:_MOST_SIZES]


@dataclass(frozen=True, slots=True)
class Scan:
    """One pass over the heap.

    Attributes:
        at: On the monotonic clock.
        groups: By `Group.pid`.
        complete: Whether all of it was read.
    """

    at: float
    groups: dict[str, Group]
    complete: bool


class TooLargeError(Exception):
    """The heap is so large that a copy of its list would stall other threads."""


class Scans:
    """Remembers the last scan, for comparison; one a minute at most."""

    def __init__(self) -> None:
        self._last: Scan | None = None
        self._compared: float | None = None

    def leak(self) -> tuple[Scan, Scan | None] | float:
        """A new scan and the one before; or in how many seconds it may be asked again."""
        now = clock.monotonic()
        if self._compared is not None and now - self._compared < EVERY:
            return EVERY - (now - self._compared)
        before, self._last = self._last, scan()
        self._compared = now
        return self._last, before

    def scan(self) -> Scan:
        """A new scan; the first one is also what `leak` compares with."""
        found = scan()
        self._last = self._last or found
        return found


def scan(longest: float = _LONGEST) -> Scan:
    """Go through what the collector tracks, in slices of 2 ms, for `longest` seconds at most; forces no collection.

    Values under 512 bytes do not count: in Erlang, too, only larger binaries live outside of the heaps.

    Raises:
        TooLargeError: See there.
    """
    if sys.getallocatedblocks() > _MOST_BLOCKS:
        raise TooLargeError
    names, seen = _global_names(), set[int]()
    groups: dict[str, Group] = {}
    end = time.monotonic() + longest
    until = time.monotonic() + _SLICE
    for holder in _tracked():
        for value in gc.get_referents(holder) if _is_asked(type(holder)) else ():
            size = _size(value)
            if size >= _LEAST and id(value) not in seen:
                seen.add(id(value))
                group = Group(type(value).__name__, names.get(id(holder)) or _type_name(holder))
                groups.setdefault(group.pid, group).add(size)
        if time.monotonic() >= until:
            time.sleep(_PAUSE)
            until = time.monotonic() + _SLICE
            if until >= end or len(seen) >= _MOST_BINARIES:
                return Scan(clock.monotonic(), groups, complete=False)
    # What the program has frozen the collector does not list.
    return Scan(clock.monotonic(), groups, complete=not gc.get_freeze_count())


def _is_asked(kind: type) -> bool:
    """Containers, and instances of classes that a ``class`` statement made.

    Other types bring a traversal of their own, in C, and not all survive being asked at any moment: modules of some
    extensions end the process on CPython 3.12.
    """
    if kind in _CONTAINERS:
        return True
    if not kind.__flags__ & _HEAP_TYPE or ModuleType in kind.__mro__:
        return False
    own = type.__getattribute__(kind, "__dict__")
    return "__dict__" in own or "__weakref__" in own or "__slots__" in own


def _tracked() -> Iterator[Any]:
    for generation in (0, 1, 2):
        found = gc.get_objects(generation)
        while found:
            # Taken off one by one, so that nothing is kept alive for longer than its turn.
            yield found.pop()


def _size(value: Any) -> int:
    kind = type(value)
    if kind is bytes or kind is bytearray:
        return sys.getsizeof(value)
    try:
        if kind is mmap.mmap:
            return len(value)
        numpy = sys.modules.get("numpy")
        if numpy is not None and kind is getattr(numpy, "ndarray", None):
            return int(value.nbytes) if value.base is None else 0
    except ValueError:  # released or closed
        pass
    return 0


def _type_name(holder: Any) -> str:
    kind = type(holder)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _global_names() -> dict[int, str]:
    """Containers in module globals, and the globals themselves, by id."""
    found: dict[int, str] = {}
    for name, module in list(sys.modules.items()):
        if type(module) is not ModuleType or is_own_module(name):
            continue
        found.setdefault(id(vars(module)), f"globals of {name}")
        for variable, value in list(vars(module).items()):
            if type(value) in (dict, list, set, tuple):
                found.setdefault(id(value), f"{name}.{variable}")
    return found
