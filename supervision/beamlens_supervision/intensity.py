"""How many restarts are allowed in how much time."""

from __future__ import annotations

import math
from collections import deque

from beamlens_actors import clock
from beamlens_supervision.options import is_seconds, is_whole, require


class RestartWindow:
    """Counts restarts over the last `max_seconds` on a clock that never goes back."""

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        """Allow `max_restarts` in any `max_seconds`.

        Raises:
            InvalidSupervisorOption: `max_restarts` is no whole number from 0, `max_seconds` not positive.
        """
        require(is_whole(max_restarts, 0), "max_restarts", max_restarts, "a whole number of at least 0")
        period = is_seconds(max_seconds) and 0 < max_seconds < math.inf
        require(period, "max_seconds", max_seconds, "a positive, finite number of seconds")
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        self._times: deque[float] = deque()

    def record(self) -> bool:
        """Count one restart now; False when it is one too many."""
        now = clock.monotonic()
        self._times.append(now)
        while self._times[0] < now - self.max_seconds:
            self._times.popleft()
        return len(self._times) <= self.max_restarts
