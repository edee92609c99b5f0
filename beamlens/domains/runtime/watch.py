"""What the `runtime` domain keeps while it is watched: the sampler, the loops, short histories."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque

from beamlens.domains import stuck
from beamlens.domains.runtime.binaries import Scans
from beamlens.domains.runtime.queues import QueueHistory
from beamlens.probes import executors, tasks, waits
from beamlens.probes.executors import Pool
from beamlens.probes.loops import loops
from beamlens.probes.sampler import sampler
from beamlens_actors import clock

_AGES_EVERY = 10.0
_ATOMS_EVERY = 60.0
_ATOMS_KEPT = 61


class Watch:
    """Started by the first look of the sensors; `stop` gives back all of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running_in: int | None = None
        self._reset()

    def _reset(self) -> None:
        self.queues = QueueHistory()
        self.ages = tasks.Ages()
        self.binaries = Scans()
        self.atoms: deque[tuple[float, int]] = deque(maxlen=_ATOMS_KEPT)
        self._aged = -_AGES_EVERY

    @property
    def running(self) -> bool:
        """Whether the sampler runs for us in this process."""
        return self._running_in == os.getpid()

    def start(self) -> None:
        """Start, if it does not run in this process; without a thread for it all else goes on."""
        with self._lock:
            if not self.running:
                try:
                    loops.start()
                except RuntimeError:  # no more threads: all the more reason to go on looking
                    return
                self._reset()
                self._running_in = os.getpid()

    def stop(self) -> None:
        """Stop the sampler, if this started it in this process."""
        with self._lock:
            if self.running:
                loops.stop()
            self._running_in = None

    def sense(self) -> dict[str, float | None]:
        """The numbers of loops, pools and tasks; notes the histories. About 0.2 ms."""
        self.queues.note()
        self._note_atoms()
        count = tasks.count()
        self._note_ages()
        pools = executors.pools()
        lags = [state.lag_ms for state in loops.states() if state.lag_ms is not None]
        return {
            "event_loops": float(len(loops.states())) if self.running else None,
            "loop_lag_ms": max(lags, default=None),
            "loop_blocked_pct": 100 * stuck.blocked_share(loops.recent(stuck.WINDOW)) if self.running else None,
            "task_count": float(count),
            "executor_queue": float(max((pool.queued for pool in pools), default=0)),
            "executor_stuck_s": self.stuck_for(pools) if self.running else None,
        }

    def stuck_for(self, pools: list[Pool]) -> float:
        """Seconds for which every thread of a pool has stood still while tasks wait; the longest of all pools."""
        return max((self._stuck(pool) for pool in pools), default=0.0)

    def _stuck(self, pool: Pool) -> float:
        if not pool.queued or (pool.most is not None and len(pool.idents) < pool.most):
            return 0.0
        now, threads = time.monotonic(), sampler.threads
        stood = []
        for ident in pool.idents:
            thread = threads.get(ident)
            if thread is None or waits.kind_of(thread.stack) == "idle worker":
                return 0.0
            stood.append(thread.parked(now))
        return min(stood, default=0.0)

    def _note_ages(self) -> None:
        now = clock.monotonic()
        if now - self._aged >= _AGES_EVERY:
            self._aged = now
            self.ages.note(tasks.highest())

    def _note_atoms(self) -> None:
        count = getattr(sys, "getunicodeinternedsize", None)
        now = clock.monotonic()
        if count is not None and (not self.atoms or now - self.atoms[-1][0] >= _ATOMS_EVERY):
            self.atoms.append((now, int(count())))
