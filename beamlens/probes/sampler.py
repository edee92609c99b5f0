"""The stack sampler: looks at every thread 10 to 50 times a second, and remembers the last five minutes.

A thread whose CPU clock stands still has not run, so it stands where it stood: a look at it costs half a microsecond.
One that ran is looked at by its two innermost frames, and walked only if they moved. CPU time is charged to the line
at which a thread is found, since a thread can be looked at only when it gives the GIL away, and counting looks alone
would blame the line at which it waits. It looks 20 times a second in a process that works and 50 times in a busy one;
in one that does next to nothing ever less often, down to once a second. Where there are very many threads it looks
less often too, so that it keeps its own CPU under 0.1 % of a core, 1 % in a busy process.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from types import FrameType
from typing import NamedTuple, Protocol

from beamlens.probes import own_threads
from beamlens.probes.interned import Interner, Stack
from beamlens.probes.stack_profile import Profile, Window
from beamlens.probes.thread_clock import cpu_seconds
from beamlens_actors import clock
from beamlens_actors.backends.threads import spawn
from beamlens_actors.thread_frames import thread_frames

_WORKING, _BUSY, _SLOWEST = 1 / 20, 1 / 50, 1.0
_LENGTHENS = 1.25
_WORKING_FROM, _BUSY_FROM = 0.01, 0.3
_DUTY_IDLE, _DUTY_BUSY = 0.001, 0.01
_WALK_AGAIN = 1.0
_HELD = 0.1
_COVERED = 0.8
_MOST_HELD = 200
_FEW_TICKS = 0.02

Mark = tuple[int, int, int, int]


class SampledThread:
    """A thread as the sampler last saw it. Written by the sampler's thread.

    Attributes:
        ident: Python's id.
        native_id: The system's id, ``None`` for a thread that ``threading`` does not know.
        name: Its name.
        ours: It belongs to Beamlens.
        stack: Where it stands.
        since: When it was first seen there without a break, on the monotonic clock.
        cpu: Its CPU seconds, ``None`` where they are not told.
        spent: CPU seconds since the look before.
        cpu_since: CPU seconds since `since`.
    """

    __slots__ = ("cpu", "cpu_since", "ident", "mark", "name", "native_id", "ours", "since", "spent", "stack", "walked")

    def __init__(self, ident: int, native_id: int | None, name: str, stack: Stack, now: float) -> None:
        self.ident = ident
        self.native_id = native_id
        self.name = name
        self.ours = False
        self.stack = stack
        self.since = self.walked = now
        self.cpu = cpu_seconds(native_id)
        self.spent = self.cpu_since = 0.0
        self.mark: Mark = (0, 0, 0, 0)

    def parked(self, now: float) -> float:
        """Seconds for which it has stood there without working: 2 % of the time at most; else 0."""
        still = now - self.since
        return still if self.cpu_since <= max(_FEW_TICKS * still, 0.001) else 0.0


class GilHeld(NamedTuple):
    """The sampler could not run, and one thread burnt CPU for all that time: it kept the GIL.

    Attributes:
        at: When it ended, seconds since the epoch.
        seconds: How long.
        thread: Name of the thread.
        stack: Where it stood right after.
    """

    at: float
    seconds: float
    thread: str
    stack: Stack


class Listener(Protocol):
    """Somebody who wants each look."""

    def looked(self, now: float, elapsed: float, threads: Mapping[int, SampledThread]) -> None:
        """On the sampler's thread, after each look; must be quick. What it raises ends its listening."""
        ...


class Sampler:
    """Started and stopped by count: several domains may share it. Not alive in a forked child.

    Attributes:
        profile: Where time was spent.
        held: The last times that a thread kept the GIL for 0.1 s or more.
        threads: The threads at the last look, by ident; replaced at each look, never changed.
        hurry: Set by a listener that wants at least 20 looks a second for now.
    """

    def __init__(self) -> None:
        self.lost_in_fork()

    def lost_in_fork(self) -> None:
        """Forget users and thread: a child has neither, and the lock may have been held."""
        self._lock = threading.Lock()
        self._users = 0
        self._stop: threading.Event | None = None
        self._listeners: tuple[Listener, ...] = ()
        self._reset()

    def _reset(self) -> None:
        self.profile = Profile()
        self.held: deque[GilHeld] = deque(maxlen=_MOST_HELD)
        self.threads: dict[int, SampledThread] = {}
        self._interner = Interner()
        self._last = self._last_cpu = 0.0
        self._interval = _WORKING
        self.hurry = False

    @property
    def running(self) -> bool:
        """Whether it samples."""
        return self._stop is not None

    def start(self, *listeners: Listener) -> None:
        """Start sampling, or count one more user, who may listen to each look.

        Raises:
            RuntimeError: The system gives no more threads.
        """
        with self._lock:
            if self._stop is None:
                self._reset()
                stop = threading.Event()
                spawn(lambda: self._run(stop), "beamlens-sampler")
                self._stop = stop
            self._users += 1
            self._listeners = (*self._listeners, *(one for one in listeners if one not in self._listeners))

    def stop(self, *listeners: Listener) -> None:
        """Count one user less, who stops listening; the last one stops it and forgets what was seen."""
        with self._lock:
            self._users = max(0, self._users - 1)
            self._listeners = tuple(one for one in self._listeners if one not in listeners)
            if not self._users and self._stop is not None:
                self._stop.set()
                self._stop = None
                self._listeners = ()
                self._reset()

    def states(self) -> list[SampledThread]:
        """The threads of the program as they were last seen; without ours."""
        return [state for state in self.threads.copy().values() if not state.ours]

    def _run(self, stop: threading.Event) -> None:
        # Real time, not the replaceable clock: it measures the machine.
        pid = os.getpid()
        cost = 0.0
        self._last, self._last_cpu = time.monotonic(), time.process_time()
        while not stop.is_set() and os.getpid() == pid:
            time.sleep(self._interval)
            if stop.is_set():
                return
            began = time.thread_time()
            busy = self.look(stop)
            cost += 0.2 * (time.thread_time() - began - cost)
            self._interval = min(_SLOWEST, max(*self._pace(busy, cost)))

    def _pace(self, busy: float, cost: float) -> tuple[float, float]:
        """The interval that is wanted, and the shortest that its own cost allows."""
        if busy >= _BUSY_FROM:
            return _BUSY, cost / _DUTY_BUSY
        wanted = _WORKING if self.hurry or busy >= _WORKING_FROM else _LENGTHENS * self._interval
        return wanted, cost / _DUTY_IDLE

    def look(self, stop: threading.Event | None = None) -> float:
        """Look at every thread once; returns how many cores the process used since the look before."""
        now, cpu = time.monotonic(), time.process_time()
        elapsed, burnt = max(now - self._last, 1e-6), max(0.0, cpu - self._last_cpu)
        self._last, self._last_cpu = now, cpu
        profile, before = self.profile, self.threads
        window = profile.at(now - elapsed)
        window.seconds, window.looks, window.cpu = now - window.began, window.looks + 1, window.cpu + burnt
        own = threading.get_ident()
        # A new table and not the old one changed: others read it.
        seen: dict[int, SampledThread] = {}
        for ident, frame in thread_frames().items():
            if ident == own:
                continue
            state = seen[ident] = self._see(ident, frame, before.get(ident), now)
            if not state.ours:
                _count(window, state, elapsed)
        if stop is not None and stop.is_set():
            return 0.0
        self.threads = seen
        self._note_held(elapsed)
        for listener in self._listeners:
            try:
                listener.looked(now, elapsed, seen)
            except Exception:  # noqa: BLE001 - the host's objects are looked at there; the sampler goes on
                self._listeners = tuple(one for one in self._listeners if one is not listener)
        return burnt / elapsed

    def _see(self, ident: int, frame: FrameType, state: SampledThread | None, now: float) -> SampledThread:
        if state is not None:
            cpu = cpu_seconds(state.native_id)
            if cpu is not None and state.cpu is not None and cpu >= state.cpu:
                state.spent, state.cpu = cpu - state.cpu, cpu
                if state.spent == 0.0:
                    return state
                state.cpu_since += state.spent
            elif cpu is not None or (state.native_id is not None and state.cpu is not None):
                state = None  # its id belongs to another thread now, or it has just ended
        mark = _mark(frame)
        if state is None:
            return self._begin(ident, frame, mark, now)
        if mark != state.mark or now - state.walked >= _WALK_AGAIN:
            stack = self._interner.stack(frame)
            state.mark, state.walked = mark, now
            if stack is not state.stack:
                state.stack, state.since, state.cpu_since = stack, now, 0.0
                state.name = _name_of(ident)[1]  # an actor's thread bears the name of who runs there now
                state.ours = own_threads.is_own(ident, state.name, stack.frames)
        return state

    def _begin(self, ident: int, frame: FrameType, mark: Mark, now: float) -> SampledThread:
        native, name = _name_of(ident)
        state = SampledThread(ident, native, name, self._interner.stack(frame), now)
        state.mark = mark
        state.ours = own_threads.is_own(ident, name, state.stack.frames)
        return state

    def _note_held(self, elapsed: float) -> None:
        """A look that came late while one thread burnt CPU all the time: that thread kept the GIL."""
        late = elapsed - self._interval
        if late < _HELD:
            return
        holder = max(self.threads.values(), key=lambda state: state.spent, default=None)
        if holder is None or holder.ours or holder.spent < _COVERED * late:
            return
        self.held.append(GilHeld(clock.time(), late, holder.name, holder.stack))


def _count(window: Window, state: SampledThread, elapsed: float) -> None:
    if state.spent > 0.0:
        window.burn(state.ident, state.native_id, state.name, state.spent)
    if state.stack.waits:
        window.unseen += state.spent
        window.add(state.stack, elapsed, 0.0)
    else:
        window.add(state.stack, elapsed, state.spent)


def _name_of(ident: int) -> tuple[int | None, str]:
    known: dict[int, threading.Thread] = vars(threading).get("_active", {})
    thread = known.get(ident)
    return (None, f"thread {ident}") if thread is None else (thread.native_id, thread.name)


def _mark(frame: FrameType) -> Mark:
    back = frame.f_back
    return id(frame), frame.f_lasti, id(back), -1 if back is None else back.f_lasti


sampler = Sampler()
"""The one sampler of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=sampler.lost_in_fork)

__all__ = ["GilHeld", "Listener", "SampledThread", "Sampler", "sampler"]
