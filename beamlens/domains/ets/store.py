"""The actor that samples the tables every minute."""

from __future__ import annotations

from typing import Any

from beamlens.domains.ets.growth import INTERVAL
from beamlens.domains.ets.recorder import TableRecorder
from beamlens.domains.store import Store

_FIRST = 0.5


class _Sample:
    pass


class GrowthStore(Store):
    """Samples half a second after its start and then at its interval, each time; an hour is kept.

    The recorder outlives it, so a restart loses no history.
    """

    def __init__(self, recorder: TableRecorder, interval: float = INTERVAL) -> None:
        super().__init__(recorder)
        self._tables = recorder
        self._interval = interval

    def on_start(self) -> None:
        """Begin; whoever starts Beamlens does not wait for the first survey."""
        super().on_start()
        self.send_after(_FIRST, _Sample())

    def on_receive(self, message: Any) -> None:
        """Sample, and again after the interval."""
        if isinstance(message, _Sample):
            self._tables.sample()
            self.send_after(self._interval, _Sample())
