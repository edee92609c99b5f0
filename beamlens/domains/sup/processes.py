"""The child processes of this process: zombies, adopted ones, and how many come and go."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

import psutil

from beamlens_actors import clock

_PAUSE = 5.0
_IDLE_TIMES = 2000
_SLACK = 2.0
_MOST_SEEN = 2000
_WINDOW = 60.0


@dataclass(slots=True)
class ChildProcess:
    """A child process.

    Attributes:
        pid: Its number.
        name: Its program's name.
        status: As psutil says: ``running``, ``sleeping``, ``zombie``, ...
        created: When it began, in seconds since the epoch.
        zombie_since: When it was first seen as a zombie (``clock.monotonic``).
        adopted: It was not there at the look before, and is older: its own parent has ended.
    """

    pid: int
    name: str
    status: str
    created: float
    zombie_since: float | None = None
    adopted: bool = False

    def zombie_for(self, now: float) -> float:
        """Seconds for which it is known to be one; 0 if it is none."""
        return 0.0 if self.zombie_since is None else now - self.zombie_since


@dataclass(slots=True)
class Processes:
    """Looks at them every five seconds, as long as that takes less than a two-thousandth of the time.

    About 0.1 ms and 20 us a thread where the kernel lists children, else some more; 2 us in a process without any.
    """

    _known: dict[int, ChildProcess] = field(default_factory=dict)
    _replaced: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_SEEN))
    _at: float = float("-inf")
    _pause: float = _PAUSE
    _wall: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, *, fresh: bool = False) -> list[ChildProcess]:
        """The children, oldest first."""
        with self._lock:
            now = clock.monotonic()
            if fresh or not 0 <= now - self._at < self._pause:
                began = time.thread_time()
                self._update(now)
                self._pause = max(_PAUSE, _IDLE_TIMES * (time.thread_time() - began))
            return sorted(self._known.values(), key=lambda one: (one.created, one.pid))

    def replaced(self) -> int:
        """Children of the last minute in whose place one of the same name has come."""
        with self._lock:
            return sum(clock.monotonic() - at < _WINDOW for at in self._replaced)

    def _update(self, now: float) -> None:
        pids = _child_pids()
        if pids is None:  # no descriptor is left: what was known is better than nothing
            return
        found: dict[int, ChildProcess] = {}
        for pid in pids[:_MOST_SEEN]:
            one = self._describe(pid, now)
            if one is not None:
                found[pid] = one
        gone = Counter(one.name for pid, one in self._known.items() if pid not in found)
        come = Counter(one.name for pid, one in found.items() if pid not in self._known)
        self._replaced.extend([now] * (gone & come).total())
        self._known, self._at, self._wall = found, now, clock.time()

    def _describe(self, pid: int, now: float) -> ChildProcess | None:
        before = self._known.get(pid)
        try:
            process = psutil.Process(pid)
            status, created = process.status(), process.create_time()
            name = before.name if before is not None and before.created == created else process.name()
        except (OSError, psutil.Error):
            return None
        if before is not None and before.created != created:
            before = None
        one = ChildProcess(pid, name, status, created)
        if before is None:
            one.adopted = self._wall is not None and created < self._wall - _SLACK
        else:
            one.adopted, one.zombie_since = before.adopted, before.zombie_since
        if status == psutil.STATUS_ZOMBIE and one.zombie_since is None:
            one.zombie_since = now
        return one


def _has_children() -> bool:
    """Whether there are any; takes none of them from whoever waits for it."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    except (AttributeError, OSError):
        return True  # this system cannot say
    return True


def _child_pids() -> list[int] | None:
    """Linux lists the children of each thread; elsewhere all processes are gone through. ``None``: cannot be read."""
    if not _has_children():
        return []
    try:
        listed = _listed("/proc/self/task")
        return sorted(listed) if listed is not None else [process.pid for process in psutil.Process().children()]
    except (OSError, psutil.Error):
        return None


def _listed(folder: str) -> set[int] | None:
    """``None``: this kernel does not list them."""
    found: set[int] = set()
    listed = False
    for thread in os.listdir(folder):  # noqa: PTH208 - a path object each would be half of the cost
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            with open(f"{folder}/{thread}/children", "rb", buffering=0) as file:  # noqa: PTH123 - as above
                found.update(map(int, file.read().split()))
            listed = True
    return found if listed else None
