"""What is usual at this hour: of the day, and of the week."""

from __future__ import annotations

from typing import Any

_HOURS = 24
_HOUR = 3600.0
_WEEK = 7 * _HOURS
_LEARN = 0.15
_ERROR_RATE = 0.005


class Season:
    """Means by hour of the day and by hour of the week, and which of them predicts best.

    Constant time and memory: 192 means. A profile counts for an hour once that hour was seen whole, and is used only
    while its errors have lately been smaller than those of a plain running mean, so that a metric without seasons is
    not hurt by them.
    """

    def __init__(self) -> None:
        self._day: list[float | None] = [None] * _HOURS
        self._week: list[float | None] = [None] * _WEEK
        self._hour: int | None = None
        self._sum = 0.0
        self._count = 0
        self._errors = [0.0, 0.0, 0.0]

    def residual(self, timestamp: float, value: float, mean: float) -> float:
        """What is left of a value when the best prediction is taken off.

        Args:
            timestamp: Seconds since the epoch.
            value: The value now.
            mean: The plain prediction.
        """
        hour = int(timestamp // _HOUR) % _WEEK
        if hour != self._hour:
            self._close()
            self._hour = hour
        self._sum += value
        self._count += 1
        best = value - mean
        daily = self._day[hour % _HOURS]
        if daily is None:
            return best
        errors = self._errors
        errors[0] += _ERROR_RATE * (abs(best) - errors[0])
        least = errors[0]
        for index, usual in ((1, daily), (2, self._week[hour])):
            if usual is None:
                continue
            rest = value - usual
            errors[index] += _ERROR_RATE * (abs(rest) - errors[index])
            if errors[index] < least:
                best, least = rest, errors[index]
        return best

    def _close(self) -> None:
        """Learn the hour that ended."""
        if self._hour is None or not self._count:
            return
        mean = self._sum / self._count
        self._sum, self._count = 0.0, 0
        for profile, index in ((self._week, self._hour), (self._day, self._hour % _HOURS)):
            before = profile[index]
            profile[index] = mean if before is None else before + _LEARN * (mean - before)

    def state(self) -> dict[str, Any]:
        """All that was learned, as JSON."""
        return {
            "day": list(self._day),
            "week": list(self._week),
            "hour": self._hour,
            "sum": self._sum,
            "count": self._count,
            "errors": list(self._errors),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Season:
        """What `state` gave."""
        season = cls()
        season._day = list(state["day"])
        season._week = list(state["week"])
        season._hour = state["hour"]
        season._sum = state["sum"]
        season._count = state["count"]
        season._errors = list(state["errors"])
        if len(season._day) != _HOURS or len(season._week) != _WEEK or len(season._errors) != 3:
            raise ValueError("the profiles have other lengths than 24 and 168")
        return season
