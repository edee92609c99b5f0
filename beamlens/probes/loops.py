"""Event loops of asyncio: which run, on what thread, how late they are, and what blocks them.

Loops are found without being asked: the sampler sees that a thread runs one, and its frame says which. A loop that
runs something at two looks is sent a callback with ``call_soon_threadsafe``; until it answers, the loop is blocked,
and the sampler sees by what. An idle loop is woken every five seconds. Nothing here keeps a loop alive.
"""

from __future__ import annotations

import os
import time
import weakref
from collections import deque
from collections.abc import Mapping
from contextvars import Context
from types import FrameType
from typing import Any, NamedTuple

from beamlens.probes.interned import Stack
from beamlens.probes.sampler import SampledThread, sampler
from beamlens_actors import clock
from beamlens_actors.thread_frames import thread_frames

SLOW = 0.1
"""From how many seconds on a callback is slow, as in asyncio's own debug mode."""

_EVERY = 5.0
# Between two looks that find it busy it may have rested: only so much of that time counts, and only if it goes on.
_MOST_CREDIT = 0.05
_GOES_ON = 0.05
_MOST_STALLS = 200
_MOST_LOOPS = 50
_MOST_FRAMES = 200
_LOOP_FRAMES = {("asyncio.base_events", "run_forever"): "self", ("asyncio.runners", "run"): "self"}


class Stall(NamedTuple):
    """A time in which a loop ran one callback and could run no other.

    Attributes:
        at: When it ended, or now: seconds since the epoch.
        seconds: How long it lasted, without what the thread waited for a processor.
        cpu: CPU seconds that the loop's thread burnt in it.
        others: CPU seconds that the other threads of the process burnt in it.
        thread: Name of the loop's thread.
        stacks: Where it was seen, with seconds, the longest first; five at most.
        over: It has ended.
    """

    at: float
    seconds: float
    cpu: float
    others: float
    thread: str
    stacks: tuple[tuple[Stack, float], ...]
    over: bool = True

    @property
    def by_others(self) -> bool:
        """The loop's thread worked, here and there, but waited for the GIL that other threads had."""
        seen = sum(seconds for _, seconds in self.stacks)
        one_place = bool(self.stacks) and self.stacks[0][1] >= 0.9 * seen
        return not one_place and self.others >= 0.8 * self.seconds and self.cpu < 0.5 * self.seconds


class LoopState(NamedTuple):
    """A loop now.

    Attributes:
        thread: Name of its thread.
        kind: Its class.
        lag_ms: How late it answered last, or has not answered yet.
        ready: Callbacks in its ready queue; ``None`` where it does not tell.
    """

    thread: str
    kind: str
    lag_ms: float | None
    ready: int | None


class _Probe:
    """A callback that was sent to a loop. `__call__` runs on the loop's thread: one assignment."""

    __slots__ = ("answered", "sent")

    def __init__(self) -> None:
        self.sent = time.monotonic()
        self.answered: float | None = None

    def __call__(self) -> None:
        self.answered = time.monotonic()


class _Watched:
    """One loop, by weak reference."""

    def __init__(self, loop: Any, thread: SampledThread) -> None:
        self.loop = weakref.ref(loop)
        self.kind = type(loop).__name__
        self.thread = thread
        self.busy_since: float | None = None
        self.probe: _Probe | None = None
        self.cpu = self.process_cpu = 0.0
        self.delay = 0.0
        self.stacks: dict[Stack, float] = {}
        self.lag: float | None = None
        self.sent = 0.0

    def send(self, now: float, busy_since: float | None) -> bool:
        """Send a callback; False when the loop is gone, closed or stopped."""
        self.sent = now
        loop = self.loop()
        try:
            if loop is None or not loop.is_running():
                return False
            probe = _Probe()
            loop.call_soon_threadsafe(probe, context=Context())
        except Exception:  # noqa: BLE001 - it closed in this moment, or is somebody's own
            return False
        self.busy_since = now if busy_since is None else max(busy_since, now - _MOST_CREDIT)
        self.probe, self.stacks = probe, {}
        self.cpu, self.process_cpu = self.thread.cpu or 0.0, time.process_time()
        self.delay = run_delay(self.thread.native_id)
        return True

    def is_running(self) -> bool:
        """Whether the loop lives and runs."""
        loop = self.loop()
        try:
            return loop is not None and bool(loop.is_running())
        except Exception:  # noqa: BLE001 - somebody's own
            return False

    def stall(self, until: float, *, over: bool) -> Stall:
        """What the probe has measured so far."""
        seconds = until - (until if self.busy_since is None else self.busy_since)
        seconds -= max(0.0, run_delay(self.thread.native_id) - self.delay)
        longest = sorted(self.stacks.items(), key=lambda item: -item[1])[:5]
        burnt = max(0.0, (self.thread.cpu or 0.0) - self.cpu)
        others = max(0.0, time.process_time() - self.process_cpu - burnt)
        return Stall(clock.time(), max(0.0, seconds), burnt, others, self.thread.name, tuple(longest), over)


class LoopWatch:
    """Listens to the sampler. Started and stopped by count, as it is."""

    def __init__(self) -> None:
        self.lost_in_fork()

    def lost_in_fork(self) -> None:
        """Forget the parent's loops."""
        self._users = 0
        self._loops: dict[int, _Watched] = {}
        self._busy: dict[int, float] = {}
        self.stalls: deque[Stall] = deque(maxlen=_MOST_STALLS)

    def start(self) -> None:
        """Watch, or count one more user; starts the sampler.

        Raises:
            RuntimeError: The system gives no more threads.
        """
        sampler.start(self)
        self._users += 1

    def stop(self) -> None:
        """Count one user less; the last one stops listening."""
        self._users = max(0, self._users - 1)
        if self._users:
            sampler.stop()
        else:
            sampler.stop(self)
            self.lost_in_fork()

    def looked(self, now: float, elapsed: float, threads: Mapping[int, SampledThread]) -> None:
        """After each look of the sampler."""
        for ident in [ident for ident in self._loops if ident not in threads]:
            del self._loops[ident]
        hurry = False
        for ident, thread in threads.items():
            if not thread.stack.in_loop:
                if ident in self._loops and not self._loops[ident].is_running():
                    del self._loops[ident]
                continue
            if not thread.ours:
                hurry |= self._follow(ident, thread, now, elapsed)
        sampler.hurry = hurry

    def _follow(self, ident: int, thread: SampledThread, now: float, elapsed: float) -> bool:
        """One loop's thread; returns whether it is busy."""
        busy = thread.stack.loop_busy
        watched = self._loops.get(ident)
        # A thread may run one loop after the other.
        if watched is None or watched.thread is not thread or not watched.is_running():
            loop = find(thread_frames().get(ident))
            if loop is None or len(self._loops) >= _MOST_LOOPS:
                return busy
            watched = self._loops[ident] = _Watched(loop, thread)
        if watched.probe is not None:
            if busy:
                watched.stacks[thread.stack] = watched.stacks.get(thread.stack, 0.0) + elapsed
            self._answered(watched)
        before = self._busy.pop(ident, None)
        if busy:
            self._busy[ident] = now
        if watched.probe is None and (before is not None if busy else now - watched.sent >= _EVERY):
            sent = watched.send(now, before if busy else None)
            if busy and sent:
                watched.stacks[thread.stack] = min(_MOST_CREDIT, now - (before or now))
        return busy

    def _answered(self, watched: _Watched) -> None:
        probe = watched.probe
        if probe is None:
            return
        if probe.answered is None:
            if not watched.is_running():
                watched.probe = None
            return
        watched.probe = None
        watched.lag = probe.answered - probe.sent
        stall = watched.stall(probe.answered, over=True)
        if watched.lag >= _GOES_ON and stall.seconds >= SLOW and stall.stacks:
            self.stalls.append(stall)

    def recent(self, seconds: float) -> list[Stall]:
        """The stalls that ended in the last seconds, and those that go on, the newest last."""
        since = clock.time() - seconds
        over = [stall for stall in self.stalls.copy() if stall.at >= since]
        now = time.monotonic()
        going = [one.stall(now, over=False) for one in list(self._loops.values()) if one.probe is not None]
        return over + [stall for stall in going if stall.seconds >= SLOW and stall.stacks]

    def states(self) -> list[LoopState]:
        """The loops that run now."""
        now, found = time.monotonic(), []
        for watched in list(self._loops.values()):
            loop, probe = watched.loop(), watched.probe
            if loop is None or not watched.is_running():
                continue
            late = now - probe.sent if probe is not None and probe.answered is None else 0.0
            lag = None if watched.lag is None and not late else max(watched.lag or 0.0, late) * 1e3
            due = ready(loop)
            if due and late:
                due -= 1  # our own
            found.append(LoopState(watched.thread.name, watched.kind, lag, due))
        return found


def find(frame: FrameType | None) -> Any:
    """The loop that runs below a frame of a thread, by the variables of asyncio's own frames; else ``None``."""
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return None
        name = frame.f_code.co_name
        if name in ("run_forever", "run"):
            variable = _LOOP_FRAMES.get((str(frame.f_globals.get("__name__")), name))
            found = None if variable is None else frame.f_locals.get(variable)
            if found is not None:
                return found if name == "run_forever" else getattr(found, "_loop", None)
        frame = frame.f_back
    return None


def run_delay(native_id: int | None) -> float:
    """Seconds that a thread has waited for a processor; 0 where the system does not tell. About 10 us."""
    try:
        with open(f"/proc/self/task/{native_id}/schedstat", "rb") as file:  # noqa: PTH123 - often, and small
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def ready(loop: Any) -> int | None:
    """Callbacks in a loop's ready queue; ``None`` where it does not tell."""
    due = getattr(loop, "_ready", None)
    return len(due) if type(due) is deque else None


def thread_of(loop: Any) -> int | None:
    """The ident of the thread that a loop runs on; ``None``: on none, or it does not tell."""
    ident = getattr(loop, "_thread_id", None)
    return ident if type(ident) is int else None


loops = LoopWatch()
"""The one watch of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=loops.lost_in_fork)

__all__ = ["SLOW", "LoopState", "LoopWatch", "Stall", "find", "loops", "ready", "run_delay", "thread_of"]
