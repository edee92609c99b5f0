"""A walk that gathers the objects of a kind, with who holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from beamlens.probes.heap.walk import Walk


class KindWalk(Walk):
    """See `Walk`. It holds what it found until `release`: let go of it soon."""

    def __init__(self, wanted: Callable[[Any], bool], most: int) -> None:
        """Walk.

        Args:
            wanted: Whether an object is one; must run none of its code.
            most: Objects to visit at most.
        """
        self._wanted = wanted
        self._found: list[tuple[Any, int]] = []
        super().__init__(most)

    def _expand(self, value: Any, index: int, depth: int, weight: float) -> None:
        if self._wanted(value):
            self._found.append((value, index))
        super()._expand(value, index, depth, weight)

    def named(self) -> Iterator[tuple[Any, str]]:
        """What was found and is held by a variable or attribute that has a name, and how it is reached."""
        for value, index in self._found:
            holder = self.holder(index)
            if holder is not None:
                yield value, holder.path

    def release(self) -> None:
        """See `Walk.release`."""
        self._found.clear()
        super().release()
