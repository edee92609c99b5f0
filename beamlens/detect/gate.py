"""From scores to alarms: what a pager should hear of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

FORMAT = 1
THRESHOLD = 0.35


@dataclass(frozen=True, slots=True)
class Alarm:
    """A score that somebody should hear of.

    Attributes:
        at: Timestamp of the score.
        score: The score, in [0, 1].
        suppressed: How many alarms were held back since the last one that was given.
        cooldown: Seconds until the next one may be given.
    """

    at: float
    score: float
    suppressed: int
    cooldown: float


class AlertGate:
    """Lets an alarm pass when enough scores in a row are high, and then none for a while.

    A metric that flaps is damped: an alarm within one more cooldown after the last one ended doubles the next
    cooldown, up to `longest`; each quiet stretch of that length halves it again, down to `cooldown`.
    """

    def __init__(
        self,
        cooldown: float = 900.0,
        *,
        threshold: float = THRESHOLD,
        consecutive: int = 1,
        warm_up: float = 0.0,
        longest: float = 14_400.0,
    ) -> None:
        """Begin, with no alarm given yet.

        Args:
            cooldown: Seconds after an alarm in which none is given.
            threshold: From this score on it counts; the default is what suits `StreamingDetector`.
            consecutive: How many scores in a row must count.
            warm_up: Seconds after the first score in which no alarm is given.
            longest: Most seconds to which flapping stretches the cooldown.

        Raises:
            ValueError: One of them is out of range; names it.
        """
        for name, seconds in (("cooldown", cooldown), ("warm_up", warm_up), ("longest", longest)):
            if not _is_number(seconds) or not 0.0 <= seconds < math.inf:
                raise ValueError(f"{name} must be seconds of at least 0, not {seconds!r}")
        if not _is_number(threshold) or not 0.0 < threshold <= 1.0:
            raise ValueError(f"threshold must be a score above 0 and at most 1, not {threshold!r}")
        if not isinstance(consecutive, int) or isinstance(consecutive, bool) or consecutive < 1:
            raise ValueError(f"consecutive must be a whole number of at least 1, not {consecutive!r}")
        self._least, self._longest = float(cooldown), max(float(cooldown), float(longest))
        self._threshold, self._consecutive, self._warm_up = float(threshold), consecutive, float(warm_up)
        self._first: float | None = None
        self._last: float | None = None
        self._cooldown = self._least
        self._row = 0
        self._suppressed = 0

    def update(self, timestamp: float, score: float) -> Alarm | None:
        """Take the next score.

        Args:
            timestamp: Seconds on the clock of the scores; when it steps back, the wait goes on from there.
            score: Between 0 and 1.

        Returns:
            An alarm, if one is to be given now.
        """
        if self._first is None or timestamp < self._first:
            self._first = timestamp
        if self._last is not None and timestamp < self._last:
            self._last = timestamp
        self._row = self._row + 1 if score >= self._threshold else 0
        if self._row < self._consecutive:
            return None
        self._row = 0
        if timestamp - self._first < self._warm_up or self._cooling(timestamp):
            self._suppressed += 1
            return None
        self._cooldown = self._next_cooldown(timestamp)
        self._last = timestamp
        suppressed, self._suppressed = self._suppressed, 0
        return Alarm(timestamp, score, suppressed, self._cooldown)

    def _cooling(self, timestamp: float) -> bool:
        return self._last is not None and timestamp - self._last < self._cooldown

    def _next_cooldown(self, timestamp: float) -> float:
        if self._last is None or not self._cooldown:
            return self._least
        stretches = int((timestamp - self._last) / self._cooldown)
        if stretches < 2:
            return min(self._longest, 2 * self._cooldown)
        return max(self._least, self._cooldown * 0.5 ** min(stretches - 1, 60))

    def state(self) -> dict[str, Any]:
        """What it remembers, as JSON; the options are not part of it."""
        return {
            "format": FORMAT,
            "first": self._first,
            "last": self._last,
            "cooldown": self._cooldown,
            "row": self._row,
            "suppressed": self._suppressed,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises:
            ValueError: It is of another format, which is named, or damaged.
        """
        found = state.get("format") if isinstance(state, dict) else None
        if found != FORMAT:
            raise ValueError(f"the state of an alert gate has format {found!r}; this version reads format {FORMAT}")
        try:
            first, last = (None if state[key] is None else float(state[key]) for key in ("first", "last"))
            cooldown, row, suppressed = float(state["cooldown"]), int(state["row"]), int(state["suppressed"])
        except (KeyError, TypeError, ValueError) as damaged:
            raise ValueError(f"the state of an alert gate is damaged: {damaged}") from None
        self._first, self._last = first, last
        self._cooldown = min(max(cooldown, self._least), self._longest)
        self._row, self._suppressed = row, suppressed


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
