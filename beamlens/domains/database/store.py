"""QueryStore: the actor that owns the recorder, adds up what it heard, and has the server asked."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from beamlens.domains.database.pulse import Pulse
from beamlens.domains.database.recorder import QueryRecorder
from beamlens.domains.store import Store

_EVERY_S = 0.25
_QUIET_S = 1.0
_HANGS_S = 2.0
_TICK = "tick"


class QueryStore(Store):
    """Installs the query recorder, and takes it out when it ends in order."""

    def __init__(self, recorder: QueryRecorder, pulse: Pulse | None = None) -> None:
        """Own a recorder.

        Args:
            recorder: What hears the engine.
            pulse: Asks the server; ``None`` where it cannot be asked.
        """
        super().__init__(recorder)
        self._queries = recorder
        self._pulse = pulse

    def on_start(self) -> None:
        """Install, and begin to add up."""
        super().on_start()
        self.send_after(_EVERY_S, _TICK)

    def on_receive(self, message: Any) -> None:
        """Add up, four times a second, once a second while nothing comes."""
        if message != _TICK:
            return
        self.send_after(_EVERY_S if self._queries.pending else _QUIET_S, _TICK)
        self._queries.settle()
        if self._pulse is not None:
            now = perf_counter()
            running = (lease.running for lease in self._queries.holders())
            self._pulse.tick(hangs=any(one is not None and now - one[2] >= _HANGS_S for one in running))
