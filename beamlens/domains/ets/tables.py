"""What a table is, and how its numbers are read without running code of the program's."""

from __future__ import annotations

import math
import types
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from beamlens.probes.heap import Holder
from beamlens.probes.heap.paths import Gone
from beamlens.probes.heap.reading import LRU_CACHE, attributes, exact, size_of
from beamlens.probes.tables import containers_in

Kind = Literal["registered", "cache", "container"]

CACHETOOLS_DATA = "_Cache__data"
_COUNTERS = (("hits", "misses"), ("_InfoMixin__hits", "_InfoMixin__misses"))
_MOST_READ = 20_000
_maxlen = deque.__dict__["maxlen"].__get__


@dataclass(frozen=True, slots=True)
class Table:
    """A table that was found. It keeps the program's object neither alive nor in hand.

    Attributes:
        name: Unique: the name it is registered under, or the path that leads to it.
        kind: How it was found.
        type_name: Its type.
        find: Gives the object and the one that holds it; raises `Gone`.
        holder: Who holds it, where a walk found it.
        item_bytes: Estimated bytes of an item; ``None`` where that cannot be told.
        unknown: Why not.
        users: Whether it is the program's own, not a library's.
    """

    name: str
    kind: Kind
    type_name: str
    find: Callable[[], tuple[Any, Any]]
    holder: Holder | None
    item_bytes: float | None
    unknown: str = ""
    users: bool = True


@dataclass(frozen=True, slots=True)
class Numbers:
    """A table's numbers at one moment.

    Attributes:
        size: Its items.
        maxsize: The most items that it holds; ``None`` when no bound is known.
        hits: Lookups that it answered, where it counts them.
        misses: Lookups that it did not.
    """

    size: int
    maxsize: float | None = None
    hits: int | None = None
    misses: int | None = None

    @property
    def full(self) -> bool:
        """Whether it has reached its bound."""
        return self.maxsize is not None and 0 < self.maxsize <= self.size

    @property
    def hit_rate_pct(self) -> float | None:
        """Share of the lookups that it answered, since it exists."""
        if self.hits is None or self.misses is None or self.hits + self.misses <= 0:
            return None
        return round(100 * self.hits / (self.hits + self.misses), 2)


def read(table: Table) -> Numbers | None:
    """A table's numbers now, some microseconds; ``None`` when it is gone."""
    try:
        value, parent = table.find()
    except Gone:
        return None
    return numbers_of(value, parent)


def numbers_of(value: Any, parent: Any = None) -> Numbers | None:
    """The numbers of an object; ``None`` when it has no entries."""
    if exact(value) is LRU_CACHE:
        info = value.cache_info()
        return Numbers(info.currsize, info.maxsize, info.hits, info.misses)
    own = attributes(value) or {}
    data = own.get(CACHETOOLS_DATA)
    size = size_of(data) if data is not None else size_of(value)
    if size is None:
        inner = containers_in(value)
        size = size_of(inner[0]) if inner else None
    if size is None:
        return None
    hits, misses = _counters(own) or _counters_beside(parent) or (None, None)
    return Numbers(size, _bound(value, own), hits, misses)


def content_of(value: Any) -> Any:
    """The built-in container that holds the entries; ``None`` for a ``functools`` cache."""
    if exact(value) is LRU_CACHE:
        return None
    own = attributes(value) or {}
    if CACHETOOLS_DATA in own:
        return own[CACHETOOLS_DATA]
    return value if size_of(value) is not None else next(iter(containers_in(value)), None)


def too_large(numbers: Numbers) -> bool:
    """Whether reading the content of a bounded ``functools`` cache would stall others: it comes in one piece."""
    return numbers.maxsize is not None and numbers.size > _MOST_READ


def _bound(value: Any, own: dict[str, Any]) -> float | None:
    if issubclass(type(value), deque):
        length: int | None = _maxlen(value)
        return length
    found: Any = own.get("_Cache__maxsize", own.get("maxsize"))
    if type(found) is int or type(found) is float:
        return found if math.isfinite(found) and found > 0 else None
    return None


def _counters(own: dict[str, Any]) -> tuple[int, int] | None:
    for hits, misses in _COUNTERS:
        if type(own.get(hits)) is int and type(own.get(misses)) is int:
            return own[hits], own[misses]
    return None


def _counters_beside(parent: Any) -> tuple[int, int] | None:
    """Of the decorator that holds the cache: attributes of it, or variables of its ``cache_info`` function."""
    own = {} if parent is None or type(parent) is types.ModuleType else attributes(parent) or {}
    info = own.get("cache_info")
    if type(info) is not types.FunctionType:
        return _counters(own)
    found = {}
    for name, cell in zip(info.__code__.co_freevars, info.__closure__ or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # empty
            continue
    return _counters(found)
