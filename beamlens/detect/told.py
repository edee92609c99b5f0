"""Findings that somebody else has made: they have names, not one number."""

from __future__ import annotations

from collections.abc import Callable

from beamlens.detect.sensors import Reading

_QUIET = Reading(active=False)


class Told:
    """A detector that says what a domain's own watch has found, such as which of many routes got slow."""

    def __init__(self, reading: Callable[[], Reading], lasting: float = 0.0) -> None:
        """Pass on what is found.

        Args:
            reading: Answers the finding as it is now.
            lasting: Seconds for which it must have been active.
        """
        self._reading = reading
        self._lasting = lasting
        self._since: float | None = None

    def update(self, timestamp: float, value: float) -> Reading:  # noqa: ARG002 - a detector's signature
        """See `Detector.update`."""
        reading = self._reading()
        if not reading.active:
            self._since = None
            return _QUIET
        if self._since is None or timestamp < self._since:
            self._since = timestamp
        return reading if timestamp - self._since >= self._lasting else _QUIET
