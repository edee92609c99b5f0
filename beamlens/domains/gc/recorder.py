"""Reads the tap and the interpreter's own counters together."""

from __future__ import annotations

import gc
import threading
import time
from collections import deque

from beamlens.domains.gc.pauses import Pauses
from beamlens.probes.gc_pauses import pauses
from beamlens.probes.gc_tap import Collection
from beamlens_actors import clock

_MOST_DRAINED = 20_000


class GcRecorder:
    """What the collector did, since it is watched."""

    def __init__(self) -> None:
        self.pauses = Pauses()
        self.since: float | None = None
        self.thresholds = gc.get_threshold()
        self.threshold_changes: list[str] = []
        self._before = _counters()
        self._cpu = time.process_time()
        self._read_at: float | None = None
        self._busy = threading.Lock()
        self._drained: deque[Collection] = deque(maxlen=_MOST_DRAINED)

    def install(self) -> None:
        """Begin to time pauses."""
        if self.since is None:
            self.since = clock.monotonic()
            self._before, self._read_at, self._cpu = _counters(), self.since, time.process_time()
        pauses.start(self._drained)

    def uninstall(self) -> None:
        """Take the callbacks out; what was recorded stays."""
        pauses.stop(self._drained)
        self.since = None

    def read(self) -> None:
        """Take in what happened; some microseconds a collection. Another thread does so already: nothing."""
        if self.since is None or not self._busy.acquire(blocking=False):
            return
        try:
            now = clock.monotonic()
            span = now - (self._read_at if self._read_at is not None else now)
            if span <= 0:
                return
            counters = _counters()
            pauses.drain()
            found = [self._drained.popleft() for _ in range(len(self._drained))]
            before, self._before, self._read_at = self._before, counters, now
            runs = (counters[0] - before[0], counters[1] - before[1], counters[2] - before[2])
            cpu, self._cpu = time.process_time() - self._cpu, time.process_time()
            self.pauses.take(found, runs, counters[3] - before[3], now=now, wall=clock.time(), span=span, cpu=cpu)
            self._note_threshold()
        finally:
            self._busy.release()

    def drain(self) -> int:
        """Empty the tap's ring before it overflows; how many collections it held."""
        if not self._busy.acquire(blocking=False):
            return 0
        try:
            return pauses.drain()
        finally:
            self._busy.release()

    def _note_threshold(self) -> None:
        now = gc.get_threshold()
        if now != self.thresholds:
            self.threshold_changes = [*self.threshold_changes[-9:], f"{self.thresholds} -> {now}"]
            self.thresholds = now


def _counters() -> tuple[int, int, int, int]:
    stats = gc.get_stats()
    runs = [int(one["collections"]) for one in stats[:3]] + [0, 0, 0]
    return runs[0], runs[1], runs[2], sum(int(one["collected"]) for one in stats)
