"""How long a watcher leaves a model alone that failed it."""

from __future__ import annotations

from beamlens_actors import clock

FIRST_PAUSE, LONGEST_PAUSE = 60.0, 900.0
"""Seconds; doubled from one failure to the next."""


class Patience:
    """Counts the looks in a row in which the model failed.

    After the first the next look tries it again. From the second on it is left alone for a while, and the offline
    analyst looks meanwhile: else a model that answers nonsense is paid for at every look, and one that hangs makes each
    look wait.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self.failures = 0

    @property
    def exhausted(self) -> bool:
        """Whether the model is to be left alone now."""
        return self.failures > 1 and clock.monotonic() < self._until

    def ended(self, *, failed: bool) -> None:
        """The model had a look."""
        if not failed:
            self.failures = 0
            return
        self.failures += 1
        # The exponent is bounded: a model may fail for months.
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(10, max(0, self.failures - 2)))
        self._until = clock.monotonic() + pause
