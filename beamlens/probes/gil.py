"""How long a thread waits for the GIL: a ticker thread that sleeps 20 ms and records how late it wakes.

Late is not yet the GIL: on a busy machine the thread waits for a processor. Linux counts that wait for each thread
(``schedstat``, the second field: nanoseconds in the run queue), so it is taken off. A hypervisor that steals time, and
a control group that throttles, are seen in their own counters and taken off too. What is left is time in which the
thread could have run but for the GIL.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import psutil

from beamlens_actors.backends.threads import spawn

_TICK = 0.020
_WORTH_A_READ = 0.001
_SPAN = 3.0
_CPU_STAT = Path("/sys/fs/cgroup/cpu.stat")


@dataclass(frozen=True, slots=True)
class GilReading:
    """The last seconds of the ticker.

    Attributes:
        seconds: How much time it covers.
        lateness_ms: Median lateness of a wake-up.
        p95_ms: 95th percentile.
        max_ms: The worst.
        wait_share: Share of the time in which the ticker waited for the GIL, 0 to 1: about 0.3 under one busy Python
            thread (it waits the switch interval of 5 ms, twice, for each 20 ms of sleep), near 1 under a C call that
            keeps it.
        cpu_cores: Cores that this process used, as a mean.
        elsewhere_share: Share of the time that it was late for other reasons: run queue, steal, throttling.
    """

    seconds: float
    lateness_ms: float
    p95_ms: float
    max_ms: float
    wait_share: float
    cpu_cores: float
    elsewhere_share: float

    @property
    def contention_share(self) -> float:
        """``wait_share``, but only where this process's own CPU time explains it: who holds the GIL burns a core."""
        return self.wait_share if self.cpu_cores >= 0.6 * min(1.0, self.wait_share + 0.5) else 0.0


@dataclass(frozen=True, slots=True)
class _Tick:
    at: float
    late: float
    waited: float
    elsewhere: float
    cpu: float


class GilTicker:
    """The ticker. Started and stopped by count: several domains may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._stop: threading.Event | None = None
        self._pid = 0
        self._ticks: deque[_Tick] = deque(maxlen=int(_SPAN / _TICK) + 1)
        self._stolen = (time.monotonic(), _stolen_seconds())

    def start(self) -> None:
        """Start ticking, or count one more user."""
        with self._lock:
            if self._pid != os.getpid():
                self._users, self._stop, self._pid = 0, None, os.getpid()
            self._users += 1
            if self._stop is None:
                self._ticks.clear()
                self._stop = stop = threading.Event()
                spawn(lambda: self._run(stop), "beamlens-gil-ticker")

    def stop(self) -> None:
        """Count one user less; the last one stops it."""
        with self._lock:
            if self._users and self._pid == os.getpid():
                self._users -= 1
                if not self._users and self._stop is not None:
                    self._stop.set()
                    self._stop = None

    def read(self) -> GilReading | None:
        """The last three seconds, or ``None`` before the first half second has passed."""
        ticks = list(self._ticks)
        now = time.monotonic()
        ticks = [tick for tick in ticks if now - tick.at < _SPAN]
        if len(ticks) < 2 or ticks[-1].at - ticks[0].at < 0.5:
            return None
        seconds = ticks[-1].at - ticks[0].at
        stolen = self._stolen_share()
        late = sorted(tick.late for tick in ticks)
        return GilReading(
            seconds=seconds,
            lateness_ms=late[len(late) // 2] * 1e3,
            p95_ms=late[int(len(late) * 0.95)] * 1e3,
            max_ms=late[-1] * 1e3,
            wait_share=max(0.0, min(1.0, sum(tick.waited for tick in ticks[1:]) / seconds) - stolen),
            cpu_cores=(ticks[-1].cpu - ticks[0].cpu) / seconds,
            elsewhere_share=min(1.0, sum(tick.elsewhere for tick in ticks[1:]) / seconds + stolen),
        )

    def _stolen_share(self) -> float:
        """Share of the time since the last question that hypervisor or control group took."""
        now, stolen = time.monotonic(), _stolen_seconds()
        (before, stolen_before), self._stolen = self._stolen, (now, stolen)
        return min(1.0, max(0.0, stolen - stolen_before) / max(0.1, now - before))

    def _run(self, stop: threading.Event) -> None:
        # Real time, not the replaceable clock: it measures the machine. A system call gives the GIL away and must
        # get it back, so the one for the run queue counts as part of its tick.
        pid = os.getpid()
        queue = _RunQueue()
        now = time.monotonic()
        queued = queue.seconds()
        try:
            while not stop.is_set() and os.getpid() == pid:
                began = now
                time.sleep(_TICK)
                elsewhere = 0.0
                if time.monotonic() - began - _TICK >= _WORTH_A_READ:
                    before, queued = queued, queue.seconds()
                    elsewhere = max(0.0, queued - before)
                now = time.monotonic()
                late = max(0.0, now - began - _TICK)
                elsewhere = min(late, elsewhere)
                waited = late - elsewhere if late >= _WORTH_A_READ else 0.0
                self._ticks.append(_Tick(now, late, waited, elsewhere, time.process_time()))
        finally:
            queue.close()


class _RunQueue:
    """Seconds that the thread that made it has waited for a processor; 0 where the system does not tell."""

    def __init__(self) -> None:
        try:
            self._file: int | None = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = None

    def seconds(self) -> float:
        """Read it anew."""
        if self._file is None:
            return 0.0
        try:
            return int(os.pread(self._file, 100, 0).split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return 0.0

    def close(self) -> None:
        """Give the descriptor back."""
        if self._file is not None:
            os.close(self._file)


def _stolen_seconds() -> float:
    """Seconds stolen by the hypervisor, a processor each, and throttled by the control group."""
    stolen = 0.0
    try:
        stolen = getattr(psutil.cpu_times(), "steal", 0.0) / (psutil.cpu_count() or 1)
        for line in _CPU_STAT.read_text().splitlines():
            if line.startswith("throttled_usec "):
                stolen += int(line.split()[1]) / 1e6
    except (OSError, ValueError):
        pass
    return stolen


def gil_enabled() -> bool:
    """Whether this interpreter has a GIL that is on."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


ticker = GilTicker()
"""The one ticker of this process."""

__all__ = ["GilReading", "GilTicker", "gil_enabled", "ticker"]
