"""A walk that looks for objects of a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from beamlens.probes.heap.walk import Walk


class KindWalk(Walk):
    """A walk that gathers objects of a kind, with who holds them. As every walk, `release` it soon."""

    def __init__(self, wanted: Callable[[Any], bool], most: int | None = None) -> None:
        """Walk.

        Args:
            wanted: Whether an object is one; must run none of its code.
            most: Objects that are looked at; by default as many as every walk.
        """
        self._wanted = wanted
        self._found: list[tuple[Any, int]] = []
        if most is None:
            super().__init__()
        else:
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
        """Let go of all that was found."""
        self._found.clear()
        super().release()
