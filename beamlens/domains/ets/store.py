"""The actor that samples the tables every minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from beamlens.domains.ets.growth import INTERVAL
from beamlens.domains.ets.recorder import TableRecorder
from beamlens.domains.store import Store

_FIRST = 0.5
# A survey takes a tenth of a second of a processor. A program that has done next to nothing since has no new tables;
# those that are known are measured all the same.
_NOTHING_DONE = 1.0
_LONGEST_UNSEEN = 600.0


class _Sample:
    pass


class GrowthStore(Store):
    """Samples half a second after its start and then at its interval; an hour is kept.

    It looks for new tables each time, in a process that rests every ten minutes.

    The recorder outlives it, so a restart loses no history.
    """

    def __init__(
        self,
        recorder: TableRecorder,
        interval: float = INTERVAL,
        process_cpu: Callable[[], float] = time.process_time,
    ) -> None:
        super().__init__(recorder)
        self._tables = recorder
        self._interval = interval
        self._process_cpu = process_cpu
        self._cpu_at_survey: float | None = None

    def on_start(self) -> None:
        """Begin; whoever starts Beamlens does not wait for the first survey."""
        super().on_start()
        self.send_after(_FIRST, _Sample())

    def on_receive(self, message: Any) -> None:
        """Sample, and again after the interval."""
        if isinstance(message, _Sample):
            self._sample()
            self.send_after(self._interval, _Sample())

    def _sample(self) -> None:
        cpu, before = self._process_cpu(), self._cpu_at_survey
        rests = before is not None and cpu - before < _NOTHING_DONE
        if self._tables.sample(_LONGEST_UNSEEN if rests else 0.0):
            self._cpu_at_survey = cpu
