"""Timers: one daemon thread for all of them, started by the first."""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from beamlens_actors import context
from beamlens_actors.errors import ActorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from beamlens_actors.ref import ActorRef

logger = logging.getLogger("beamlens_actors")


class Timer:
    """A call that will happen once, unless cancelled first. Made by `clock.call_later` and `send_after`."""

    __slots__ = ("_fn", "_lock", "_now", "due")

    def __init__(self, due: float, fn: Callable[[], object], now: Callable[[], float]) -> None:
        self.due = due
        self._fn: Callable[[], object] | None = fn
        self._now = now
        self._lock = threading.Lock()

    def _take(self) -> Callable[[], object] | None:
        with self._lock:
            fn, self._fn = self._fn, None
        return fn

    def cancel(self) -> bool:
        """Prevent the call. True when this prevented it, False when it happened or was cancelled before."""
        return self._take() is not None

    def remaining(self) -> float:
        """Seconds left; 0.0 once it fired or was cancelled."""
        return 0.0 if self._fn is None else max(0.0, self.due - self._now())

    @property
    def active(self) -> bool:
        """Whether the call is still to come."""
        return self._fn is not None

    def fire(self) -> None:
        """Make the call unless it was made or cancelled. What it raises is logged."""
        fn = self._take()
        if fn is None:
            return
        try:
            fn()
        except Exception:
            logger.exception("a timer's function failed")


class TimerThread:
    """Fires timers in the order they are due, equal ones in the order they were made."""

    # Cancelled timers stay in the heap until due; beyond this many they are swept.
    _SWEEP_AT = 1024
    # Seconds without a timer after which the thread ends, so that a host that stopped everything has no thread left.
    _IDLE = 5.0

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        # Re-entrant: a signal handler or finaliser may come here while its thread is inside.
        self._changed = threading.Condition(threading.RLock())
        self._running = False
        self._looks_again = 0.0
        self._sweep_at = self._SWEEP_AT

    def call_later(self, delay: float, fn: Callable[[], object]) -> Timer:
        """Call `fn` on the timer thread in `delay` seconds (at once when negative)."""
        timer = Timer(time.monotonic() + max(0.0, delay), fn, time.monotonic)
        with self._changed:
            if not self._running:
                self._start()
            heapq.heappush(self._heap, (timer.due, next(self._order), timer))
            if len(self._heap) > self._sweep_at:
                self._sweep()
            if timer.due < self._looks_again:
                self._changed.notify()
        return timer

    def _start(self) -> None:
        from beamlens_actors.backends.threads import spawn

        spawn(self._run, "beamlens-timers")
        self._running = True

    def _sweep(self) -> None:
        self._heap = [item for item in self._heap if item[2].active]
        heapq.heapify(self._heap)
        self._sweep_at = max(self._SWEEP_AT, 2 * len(self._heap))

    def _run(self) -> None:
        context.local.never_blocks = True
        while (timer := self._next()) is not None:
            timer.fire()

    def _next(self) -> Timer | None:
        """The next timer, once it is due; none when there was none for a while: then the thread ends."""
        with self._changed:
            while True:
                while self._heap and not self._heap[0][2].active:
                    heapq.heappop(self._heap)
                if not self._heap:
                    self._wait(self._IDLE)
                    if not self._heap:
                        self._running = False
                        return None
                    continue
                left = self._heap[0][0] - time.monotonic()
                if left <= 0:
                    return heapq.heappop(self._heap)[2]
                # It looks again now and then: cancelling does not wake it.
                self._wait(min(left, self._IDLE))

    def _wait(self, seconds: float) -> None:
        self._looks_again = time.monotonic() + seconds
        self._changed.wait(seconds)
        self._looks_again = 0.0  # it is awake, and looks at the heap before it waits again


_thread = TimerThread()


def real_call_later(delay: float, fn: Callable[[], object]) -> Timer:
    """`clock.call_later` of the real clock."""
    return _thread.call_later(delay, fn)


def _after_fork() -> None:
    global _thread
    _thread = TimerThread()


os.register_at_fork(after_in_child=_after_fork)


def send_after(delay: float, ref: ActorRef[Any], message: Any) -> Timer:
    """Tell `ref` the `message` in `delay` seconds.

    A message that cannot be delivered then (the actor ended, its mailbox is full) is dropped and logged at
    debug level.
    """
    from beamlens_actors import clock

    def deliver() -> None:
        # A fake clock fires in the thread that advances it, which must not be parked by a full mailbox
        # either.
        before, context.local.never_blocks = context.local.never_blocks, True
        try:
            ref.tell(message)
        except ActorError as error:
            logger.debug("delayed message to %s was dropped: %s", ref.name, error)
        finally:
            context.local.never_blocks = before

    return clock.call_later(delay, deliver)
