"""Long work in slices, so that no other thread waits long for the GIL."""

from __future__ import annotations

import time

_SLICE = 0.002
_PAUSE = 0.0005


class Slices:
    """Gives other threads a turn every few milliseconds."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def pause(self) -> None:
        """Sleep for a moment, if the slice has lasted for two milliseconds. Call it every few microseconds."""
        if time.perf_counter() - self._began >= _SLICE:
            time.sleep(_PAUSE)
            self._began = time.perf_counter()
