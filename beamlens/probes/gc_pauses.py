"""How long the garbage collector stops the process: one callback in ``gc.callbacks``, shared and counted.

The callback runs inside a collection, on whatever thread set it off: it takes no lock, and only for a long pause does
it read that thread's stack, as text.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections import deque
from typing import Any, NamedTuple

from beamlens.probes import frames
from beamlens.probes.frames import Frame
from beamlens_actors import clock

LONG = 0.1
"""From how many seconds on a pause is kept with its stack."""

_MOST_LONG = 200
_MOST_FRAMES = 32


class Pause(NamedTuple):
    """A long collection.

    Attributes:
        at: When it ended, seconds since the epoch.
        seconds: How long it took, with all other Python threads stopped.
        generation: Which generation was collected, as the interpreter numbers them.
        collected: Objects that it freed.
        uncollectable: Objects that it could not free.
        ident: The thread that set it off.
        stack: Where that thread stood, innermost first.
    """

    at: float
    seconds: float
    generation: int
    collected: int
    uncollectable: int
    ident: int
    stack: tuple[Frame, ...]


class GcPauses:
    """Started and stopped by count. Not alive in a forked child.

    Attributes:
        long: The last 200 long pauses, the newest last.
        totals: By generation: collections, seconds, the longest.
    """

    def __init__(self) -> None:
        self._callback = self._called
        self.lost_in_fork()

    def lost_in_fork(self) -> None:
        """A child has no users; takes no lock, since another thread of the parent may have held it."""
        self._lock = threading.Lock()
        self._users = 0
        self._began = 0.0
        self.long: deque[Pause] = deque(maxlen=_MOST_LONG)
        self.totals: dict[int, list[float]] = {generation: [0, 0.0, 0.0] for generation in range(3)}
        self._take_out()

    @property
    def installed(self) -> bool:
        """Whether the callback is in the host's list."""
        return any(one is self._callback for one in gc.callbacks)

    def start(self) -> None:
        """Install, or count one more user."""
        with self._lock:
            self._users += 1
            if not self.installed:
                self._began = 0.0
                gc.callbacks.append(self._callback)

    def stop(self) -> None:
        """Count one user less; the last one takes the callback out."""
        with self._lock:
            self._users = max(0, self._users - 1)
            if not self._users:
                self._take_out()

    def recent(self, seconds: float) -> list[Pause]:
        """The long pauses of the last seconds."""
        since = clock.time() - seconds
        return [pause for pause in self.long.copy() if pause.at >= since]

    def _take_out(self) -> None:
        while self.installed:
            gc.callbacks.remove(self._callback)

    def _called(self, phase: str, info: dict[str, Any]) -> None:
        # An exception here would be told as unraisable, on the host's account.
        try:
            if phase == "start":
                self._began = time.perf_counter()
            elif self._began:
                self._ended(time.perf_counter() - self._began, info)
                self._began = 0.0
        except Exception:  # noqa: BLE001
            pass

    def _ended(self, seconds: float, info: dict[str, Any]) -> None:
        generation = info["generation"]
        total = self.totals.get(generation)
        if total is not None:
            total[0] += 1
            total[1] += seconds
            total[2] = max(total[2], seconds)
        if seconds < LONG:
            return
        stack = frames.walk(sys._getframe(2), _MOST_FRAMES)  # noqa: SLF001 - as inspect does it
        ident = threading.get_ident()
        self.long.append(
            Pause(clock.time(), seconds, generation, info["collected"], info["uncollectable"], ident, stack)
        )


pauses = GcPauses()
"""The one of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pauses.lost_in_fork)

__all__ = ["LONG", "GcPauses", "Pause", "pauses"]
