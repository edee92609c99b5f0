"""`TokenBucket`: how many calls an interval."""

from __future__ import annotations

# What is lost when seconds are added and subtracted must not cost another wait.
_EPSILON = 1e-9


class TokenBucket:
    """Lets `calls` through at once and `calls` an interval on the long run. Starts full; not thread-safe.

    It keeps one number, the time at which the bucket will be full again (the generic cell rate algorithm), so nothing
    has to be refilled.
    """

    def __init__(self, calls: int, interval: float) -> None:
        """Make a full bucket of `calls` tokens, each of which comes back after `interval` / `calls` seconds."""
        self._calls = calls
        self._spacing = interval / calls
        self._full_at = float("-inf")

    def take(self, now: float) -> float:
        """Take a token and return 0, or return the seconds until there is one, having taken none."""
        wait = self._full_at - self._spacing * (self._calls - 1) - now
        if wait > _EPSILON:
            return wait
        self._full_at = max(now, self._full_at) + self._spacing
        return 0.0

    def available(self, now: float) -> int:
        """Tokens that can be taken now."""
        missing = max(0.0, self._full_at - now) / self._spacing
        return max(0, int(self._calls - missing + _EPSILON))
