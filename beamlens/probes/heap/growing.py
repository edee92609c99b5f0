"""Finds the containers that grow now, with who holds them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from beamlens.probes.heap.holders import Holder
from beamlens.probes.heap.reading import name_of, newest, newest_keys, size_of
from beamlens.probes.heap.sizes import deep_size
from beamlens.probes.heap.walk import Walk
from beamlens.probes.slices import Slices
from beamlens_actors import AbortSignal, clock


@dataclass(frozen=True, slots=True)
class Growing:
    """A container that grows.

    Attributes:
        holder: Who holds it.
        type_name: Its type.
        containers: How many containers of the holder grew; the numbers below are of all of them.
        first: Items at the first reading.
        last: Items at the last one.
        seconds: Between them.
        bytes_per_item: Estimated from its newest items.
        items: Some of its newest items, for a closer look; let go of it soon.
    """

    holder: Holder
    type_name: str
    containers: int
    first: int
    last: int
    seconds: float
    bytes_per_item: float
    items: tuple[Any, ...]

    @property
    def added(self) -> int:
        """Items added between the readings."""
        return self.last - self.first

    @property
    def bytes_per_second(self) -> float:
        """Estimated growth."""
        return self.added * self.bytes_per_item / self.seconds if self.seconds > 0 else 0.0


def find_growing(seconds: float = 2.0, abort: AbortSignal | None = None) -> tuple[list[Growing], bool]:
    """Find containers that grow steadily now.

    Args:
        seconds: Time between the first and the last reading; there is one in the middle.
        abort: Ends it early.

    Returns:
        The growing ones, most bytes a second first, and whether the walk saw everything within its bounds.
    """
    abort = abort or AbortSignal()
    walk = Walk()
    began = clock.monotonic()
    first = _read(walk)
    abort.wait(seconds / 2)
    middle = _read(walk)
    abort.wait(seconds / 2)
    took = clock.monotonic() - began
    slices = Slices()
    groups: dict[Holder, _Group] = {}
    for container, index, before, between in zip(walk.containers, walk.nodes, first, middle, strict=True):
        slices.pause()
        after = size_of(container) or 0
        if after > before and (holder := walk.holder(index)) is not None:
            group = groups.setdefault(dataclasses.replace(holder, path=""), _Group(holder))
            group.add(container, before, between, after)
    walk.release()
    found = [group.describe(took) for group in groups.values() if group.steady]
    found.sort(key=lambda growing: -growing.bytes_per_second)
    return found[:20], walk.complete


def _read(walk: Walk) -> list[int]:
    slices, found = Slices(), []
    for container in walk.containers:
        found.append(size_of(container) or 0)
        slices.pause()
    return found


class _Group:
    """The containers of one holder that grew: one, or many as in a dict of lists."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._grown: list[tuple[int, Any]] = []
        self._counts = [0, 0, 0]

    def add(self, container: Any, before: int, between: int, after: int) -> None:
        self._grown.append((after - before, container))
        for position, count in enumerate((before, between, after)):
            self._counts[position] += count

    @property
    def steady(self) -> bool:
        """Whether both halves of the time saw growth."""
        before, between, after = self._counts
        return before < between < after

    def describe(self, seconds: float) -> Growing:
        self._grown.sort(key=lambda pair: -pair[0])
        samples = [_sample(container, grown) for grown, container in self._grown[:10]]
        items = [item for values, _ in samples for item in values]
        seen: set[int] = set()
        size = 0.0
        slices = Slices()
        for values, keys in samples:
            for item in (*values, *keys):
                size += deep_size(item, seen)
                slices.pause()
        kind = type(self._grown[0][1])
        slot = 1.0 if issubclass(kind, bytearray) else 100.0 if issubclass(kind, (dict, set)) else 8.0
        return Growing(
            holder=self._holder,
            type_name=name_of(kind),
            containers=len(self._grown),
            first=self._counts[0],
            last=self._counts[2],
            seconds=seconds,
            bytes_per_item=size / max(1, len(items)) + slot,
            items=tuple(items),
        )


def _sample(container: Any, grown: int) -> tuple[list[Any], list[Any]]:
    """Some of the newest values of a container, and their keys."""
    if issubclass(type(container), bytearray):
        return [], []
    values = newest(container, max(1, min(20, grown)))
    return values, newest_keys(container, len(values))
