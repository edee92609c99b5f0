"""Readings whose cost grows with the heap: made seldom enough not to be felt, and given up where they stall."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from beamlens_actors import clock

T = TypeVar("T")

_LONGEST = 0.005
_SHARE = 0.001
_REST = 600.0


class Sparing(Generic[T]):
    """Keeps a reading until a new one may be made.

    A reading may use a thousandth of the time. One that took more than 5 ms, which is how long a thread that allocates
    may have waited for it, is not repeated for ten minutes.
    """

    def __init__(self, read: Callable[[], T], least: float = 0.5) -> None:
        """Wrap a function.

        Args:
            read: Makes a reading.
            least: Fewest seconds between two readings.
        """
        self._read = read
        self._least = least
        self._lock = threading.Lock()
        self._value: T | None = None
        self._next = float("-inf")

    def __call__(self) -> T:
        """The reading of now, or a kept one."""
        with self._lock:
            now = clock.monotonic()
            if self._value is None or now >= self._next:
                began = time.perf_counter()
                self._value = self._read()
                took = time.perf_counter() - began
                self._next = now + (_REST if took > _LONGEST else max(self._least, took / _SHARE))
            return self._value
