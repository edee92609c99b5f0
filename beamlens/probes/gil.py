"""How long a thread waits for the GIL: a ticker thread that sleeps 20 ms and records how late it wakes.

In a process that does next to nothing it sleeps longer each time, up to half a second: a shorter stall there
may go unseen.

Late is not yet the GIL: on a busy machine the thread waits for a processor. Linux counts that wait for each thread
(``schedstat``), so it is taken off; so is what a hypervisor steals and a control group throttles. What is left is time
in which the thread could have run but for the GIL. It counts as contention only where the program's threads explain it:
who keeps the GIL burns a processor, or waits for one. What Beamlens's own threads burn, as in a search of the heap, is
taken off.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from beamlens.probes import limits, own_threads
from beamlens.probes.pressure import RunQueue, run_delays, stolen_seconds
from beamlens.probes.thread_clock import cpu_seconds
from beamlens_actors.backends.threads import spawn

_TICK = 0.020
# While the process burns next to nothing nobody can keep the GIL for long, and a tick costs the host 100 us.
_LONGEST_TICK = 0.480
_LENGTHENS = 1.5
_IDLE_CORES = 0.03
_WORTH_A_READ = 0.001
_SPAN = 3.0
_SHORTEST = 0.5
_BUSY = 0.5
_SURELY_BUSY = 0.9
_STARVED_WAIT = 0.1
_COVERED = 0.8


@dataclass(frozen=True, slots=True)
class GilReading:
    """The last seconds of the ticker.

    Attributes:
        seconds: How much time it covers.
        lateness_ms: Median lateness of a wake-up, whatever the reason.
        p95_ms: 95th percentile.
        max_ms: The worst.
        wait_ms: Median wait for the GIL of a wake-up.
        wait_share: Share of the time in which the ticker waited for the GIL, 0 to 1: about 0.25 under one busy Python
            thread (it waits the switch interval of 5 ms for 20 ms of sleep), near 1 under a C call that keeps it.
        stall_ms: The longest wait for the GIL that this process's CPU time covers.
        cpu_cores: Cores that this process used, as a mean.
        elsewhere_share: Share of the time that it was late for other reasons: run queue, steal, throttling.
        explained: Whether the program's threads explain the waits.
    """

    seconds: float
    lateness_ms: float
    p95_ms: float
    max_ms: float
    wait_ms: float
    wait_share: float
    stall_ms: float
    cpu_cores: float
    elsewhere_share: float
    explained: bool

    @property
    def contention_share(self) -> float:
        """``wait_share`` where it is explained, else 0."""
        return self.wait_share if self.explained else 0.0

    @property
    def contention_ms(self) -> float:
        """``wait_ms`` where it is explained, else 0: about 5 under one busy Python thread."""
        return self.wait_ms if self.explained else 0.0


@dataclass(frozen=True, slots=True)
class _Tick:
    at: float
    late: float
    waited: float
    elsewhere: float
    cpu: float


class GilTicker:
    """The ticker. Started and stopped by count: several domains may share it. Not alive in a forked child."""

    def __init__(self) -> None:
        self._ticks: deque[_Tick] = deque(maxlen=int(_SPAN / _TICK) + 1)
        self._cgroups: list[Path] = []
        self.lost_in_fork()

    def lost_in_fork(self) -> None:
        """Forget users and thread: a child has neither, and the lock may have been held."""
        self._lock = threading.Lock()
        self._users = 0
        self._stop: threading.Event | None = None
        self._pid = os.getpid()
        self._ticks.clear()
        self._told = False
        self._stolen = (0.0, 0.0)
        self._delays: tuple[float, dict[int, float], float] = (0.0, {}, 0.0)
        self._own: tuple[float, float, dict[int, float], float] = (0.0, 0.0, {}, 0.0)

    def start(self) -> None:
        """Start ticking, or count one more user.

        Raises:
            RuntimeError: The system gives no more threads.
        """
        with self._lock:
            if self._stop is None:
                self._ticks.clear()
                self._cgroups = limits.cgroup_folders()
                self._stolen = (time.monotonic(), stolen_seconds(self._cgroups))
                stop = threading.Event()
                spawn(lambda: self._run(stop), "beamlens-gil-ticker")
                self._stop = stop
            self._users += 1

    def stop(self) -> None:
        """Count one user less; the last one stops it."""
        with self._lock:
            self._users = max(0, self._users - 1)
            if not self._users and self._stop is not None:
                self._stop.set()
                self._stop = None

    def read(self) -> GilReading | None:
        """The last three seconds; ``None`` before the first half second has passed. About 0.2 ms."""
        ticks = self._recent()
        if len(ticks) < 2 or ticks[-1].at - ticks[0].at < _SHORTEST:
            return None
        seconds = ticks[-1].at - ticks[0].at
        stolen = self._stolen_share()
        wait = max(0.0, min(1.0, sum(tick.waited for tick in ticks[1:]) / seconds) - stolen)
        elsewhere = min(1.0, sum(tick.elsewhere for tick in ticks[1:]) / seconds + stolen)
        cores = (ticks[-1].cpu - ticks[0].cpu) / seconds
        theirs = 1.0 - self._own_share() if wait >= _STARVED_WAIT else 1.0
        late = sorted(tick.late for tick in ticks)
        waited = sorted(tick.waited for tick in ticks)
        return GilReading(
            seconds=seconds,
            lateness_ms=late[len(late) // 2] * 1e3,
            p95_ms=late[int(len(late) * 0.95)] * 1e3,
            max_ms=late[-1] * 1e3,
            wait_ms=waited[len(waited) // 2] * 1e3,
            wait_share=wait,
            stall_ms=max(map(_covered_wait, ticks, ticks[1:])) * 1e3,
            cpu_cores=cores,
            elsewhere_share=elsewhere,
            explained=self._explained(wait, theirs * cores, theirs * _cores_while_waiting(ticks)),
        )

    def _recent(self) -> list[_Tick]:
        now = time.monotonic()
        return [tick for tick in self._ticks.copy() if now - tick.at < _SPAN]

    def _explained(self, wait: float, cores: float, while_waiting: float) -> bool:
        """Whether the program's threads were busy enough, just when the ticker waited, to keep the GIL that long.

        Where the run queue is not told, only a process that has a core to itself is sure not to wait for one. Where it
        is, a process that is starved by its neighbours counts what it got and what its busiest thread wanted beside.
        """
        if not self._told:
            return while_waiting >= _SURELY_BUSY
        if wait < _STARVED_WAIT:
            return while_waiting >= _BUSY
        return while_waiting >= _BUSY or cores + self._longest_queued() >= _SURELY_BUSY

    def _own_share(self) -> float:
        """What Beamlens's threads burned of what the process burned since the question before, 0 to 1.

        0 when that is long ago. What its threads burned that have ended since counts as the program's.
        """
        now, cpu = time.monotonic(), time.process_time()
        then, cpu_before, before, share = self._own
        if now - then < _SHORTEST:
            return share
        burned = {
            thread.native_id: cpu_seconds(thread.native_id) or 0.0
            for thread in own_threads.own_threads()
            if thread.native_id is not None
        }
        share = 0.0
        if now - then <= 2 * _SPAN and cpu > cpu_before:
            own = sum(max(0.0, seconds - before.get(task, 0.0)) for task, seconds in burned.items())
            share = min(1.0, own / (cpu - cpu_before))
        self._own = now, cpu, burned, share
        return share

    def _longest_queued(self) -> float:
        """Share of the time since the question before in the run queue, of the program's thread that was longest in it.

        Asked after `_own_share`, which knows the threads that are not the program's.

        Of one thread: on a starved machine the waits of many that each want next to nothing add up to a core as well.
        0 when the question before is long ago.
        """
        now = time.monotonic()
        then, before, most = self._delays
        if now - then < _SHORTEST:
            return most
        delays = run_delays()
        own = self._own[2]
        shares = [
            (delay - before[task]) / (now - then)
            for task, delay in delays.items()
            if task in before and task not in own
        ]
        most = max(shares, default=0.0) if now - then <= 2 * _SPAN else 0.0
        self._delays = now, delays, most
        return most

    def _stolen_share(self) -> float:
        """Share of the time since the last question that hypervisor or control group took."""
        now, stolen = time.monotonic(), stolen_seconds(self._cgroups)
        (before, stolen_before), self._stolen = self._stolen, (now, stolen)
        return min(1.0, max(0.0, stolen - stolen_before) / max(0.1, now - before))

    def _run(self, stop: threading.Event) -> None:
        # Real time, not the replaceable clock: it measures the machine. A system call gives the GIL away and must
        # get it back, so the one for the run queue counts as part of its tick.
        pid = os.getpid()
        queue = RunQueue()
        now, cpu, tick = time.monotonic(), time.process_time(), _TICK
        queued = queue.seconds()
        try:
            while not stop.is_set() and os.getpid() == pid:
                began = now
                time.sleep(tick)
                elsewhere = 0.0
                if time.monotonic() - began - tick >= _WORTH_A_READ:
                    before, queued = queued, queue.seconds()
                    elsewhere = max(0.0, queued - before)
                now = time.monotonic()
                late = max(0.0, now - began - tick)
                elsewhere = min(late, elsewhere)
                waited = late - elsewhere if late >= _WORTH_A_READ else 0.0
                self._told = queue.known
                before_cpu, cpu = cpu, time.process_time()
                rests = late < _TICK and cpu - before_cpu < _IDLE_CORES * (now - began)
                tick = min(_LONGEST_TICK, _LENGTHENS * tick) if rests else _TICK
                self._ticks.append(_Tick(now, late, waited, elsewhere, cpu))
        finally:
            queue.close()


def _covered_wait(before: _Tick, tick: _Tick) -> float:
    """A tick's wait for the GIL, if this process burned CPU for as long; else nobody can have kept it."""
    return tick.waited if tick.cpu - before.cpu >= _COVERED * tick.waited else 0.0


def _cores_while_waiting(ticks: list[_Tick]) -> float:
    """Cores that the process used in the ticks that waited for the GIL, as a mean; 0 when none did."""
    seconds = spent = 0.0
    for before, tick in itertools.pairwise(ticks):
        if tick.waited > 0.0:
            seconds += tick.at - before.at
            spent += tick.cpu - before.cpu
    return spent / seconds if seconds > 0.0 else 0.0


def gil_enabled() -> bool:
    """Whether this interpreter has a GIL that is on."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


ticker = GilTicker()
"""The one ticker of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ticker.lost_in_fork)

__all__ = ["GilReading", "GilTicker", "gil_enabled", "ticker"]
