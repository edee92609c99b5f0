"""How often a domain's numbers are read: every second while something happens, less often what is dear in a lull."""

from __future__ import annotations

import time
from collections.abc import Callable

from beamlens_actors import clock

SHORTEST, LONGEST = 1.0, 10.0
"""Seconds between two readings."""

_SETTLED = 60.0
_RESTING_CORES = 0.05
# What one domain's sensors may take of a processor: sixteen of them stay under a fifth of a per cent of a process
# that rests, and under two per cent of one that works.
_RESTING_SHARE, _WORKING_SHARE = 0.0001, 0.001
_SMOOTHING = 0.2


class Pace:
    """Sets the pace of one domain's readings. Used by one thread."""

    def __init__(
        self,
        *,
        own_cpu: Callable[[], float] = time.thread_time,
        process_cpu: Callable[[], float] = time.process_time,
    ) -> None:
        """Make one; it counts from its first reading.

        Args:
            own_cpu: CPU seconds of the thread that reads.
            process_cpu: CPU seconds of the process.
        """
        self._own_cpu = own_cpu
        self._process_cpu = process_cpu
        self._started: float | None = None
        self._cost: float | None = None
        self._spent_before = 0.0
        self._last: tuple[float, float] | None = None

    def begin(self) -> None:
        """A reading begins."""
        if self._started is None:
            self._started = clock.monotonic()
            self._spent_before = self._own_cpu()

    def end(self, *, active: bool) -> float:
        """A reading ended: seconds to wait until the next one, between 1 and 10.

        It is 1 in the first minute, and as long as a sensor is active.

        Args:
            active: Whether a sensor of the domain is active.
        """
        # With what it took to fall asleep and to wake: more than a reading of what is cheap.
        own = self._own_cpu()
        spent, self._spent_before = max(0.0, own - self._spent_before), own
        # The first one loads modules and fills caches.
        self._cost = spent if self._cost is None else self._cost + _SMOOTHING * (spent - self._cost)
        now, cpu = clock.monotonic(), self._process_cpu()
        then, cpu_then = self._last or (now, cpu)
        self._last = now, cpu
        if active or self._started is None or now - self._started < _SETTLED:
            return SHORTEST
        resting = cpu - cpu_then < _RESTING_CORES * (now - then)
        wanted = self._cost / (_RESTING_SHARE if resting else _WORKING_SHARE)
        return min(LONGEST, max(SHORTEST, wanted))
