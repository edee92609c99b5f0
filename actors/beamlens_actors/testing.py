"""For tests of actors: a clock that stands still until told, and an actor that records."""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time as real_time
from typing import TYPE_CHECKING, Any, Self, cast

from beamlens_actors import clock, context
from beamlens_actors.actor import Actor
from beamlens_actors.monitor import monitor
from beamlens_actors.ref import ActorRef
from beamlens_actors.timers import Timer

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from beamlens_actors.cell import Cell
    from beamlens_actors.messages import Down, Exit, Monitor

ANYTHING = object()
"""For `Probe.expect`: any message."""


class _Waiter:
    """One thread in a timed wait; fires by waking it."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self.fired = False

    @property
    def active(self) -> bool:
        return not self.fired

    def fire(self) -> None:
        self.fired = True
        self.wake()


class FakeClock:
    """A clock for tests, installed for all of `beamlens_actors.clock` while entered.

        with FakeClock() as clock:
            ref = Sleeper.start()          # waits 5 seconds in a handler, or used send_after
            clock.wait_for_waiters(1)      # until it does
            clock.advance(5)               # fires what is due, in the order it is due

    Timers (`call_later`, `send_after`) fire on the thread that calls `advance`, at their own time. Whoever
    waits without a timeout is not seen by the clock. On leaving, waiting threads are woken as if their time
    had passed, and timers that are left never fire.
    """

    def __init__(self, start: float = 1000.0, epoch: float = 1_700_000_000.0) -> None:
        """Make a clock that shows `start` (monotonic seconds) and `epoch` (seconds since 1970)."""
        self._start = start
        self._epoch = epoch
        self._now = start
        self._order = itertools.count()
        self._changed = threading.Condition(threading.RLock())
        self._pending: list[tuple[float, int, _Waiter | Timer]] = []
        self._previous: clock.Clock | None = None

    def __enter__(self) -> Self:
        self._previous = clock.install(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._previous is not None:
            clock.install(self._previous)
        with self._changed:
            left, self._pending = self._pending, []
        for _, _, item in sorted(left, key=lambda entry: entry[:2]):
            if isinstance(item, _Waiter):
                item.fire()

    # -- for the test ----------------------------------------------------------------------------------------

    def waiters(self, within: float = math.inf) -> int:
        """How many timed waits and timers are pending that are due in at most `within` seconds."""
        with self._changed:
            return sum(item.active and due <= self._now + within for due, _, item in self._pending)

    def wait_for_waiters(self, count: int = 1, timeout: float = 10.0, *, within: float = math.inf) -> None:
        """Wait, in real time, until at least `count` timed waits and timers are pending.

        Args:
            count: how many.
            timeout: real seconds.
            within: counts only what is due in so many seconds: a start that waits, say, is another wait than the one
                that the test is about.

        Raises:
            TimeoutError: after `timeout` real seconds, with what was there.
        """
        deadline = real_time.monotonic() + timeout
        with self._changed:
            while self.waiters(within) < count:
                left = deadline - real_time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{self.waiters(within)} waiters after {timeout} s, expected {count}")
                self._changed.wait(left)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass: fire what is due by then, each at its time, the earlier first."""
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        target = self._now + seconds
        while (item := self._next_due(target)) is not None:
            item.fire()
        with self._changed:
            self._now = max(self._now, target)

    def _next_due(self, target: float) -> _Waiter | Timer | None:
        with self._changed:
            while self._pending and self._pending[0][0] <= target:
                due, _, item = heapq.heappop(self._pending)
                if item.active:
                    self._now = max(self._now, due)
                    return item
        return None

    # -- the clock -------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        """See `clock.monotonic`."""
        return self._now

    def time(self) -> float:
        """See `clock.time`; moves with `advance`."""
        return self._epoch + (self._now - self._start)

    def call_later(self, delay: float, fn: Callable[[], object]) -> Timer:
        """See `clock.call_later`; due at once, it fires at the next `advance`, also one of 0."""
        timer = Timer(self._now + max(0.0, delay), fn, self.monotonic)
        self._push(timer.due, timer)
        return timer

    def _push(self, due: float, item: _Waiter | Timer) -> None:
        with self._changed:
            self._pending = [entry for entry in self._pending if entry[2].active]
            self._pending.append((due, next(self._order), item))
            heapq.heapify(self._pending)
            self._changed.notify_all()

    def _pop(self, waiter: _Waiter) -> None:
        with self._changed:
            self._pending = [entry for entry in self._pending if entry[2] is not waiter]
            heapq.heapify(self._pending)

    def sleep(self, seconds: float) -> None:
        """See `clock.sleep`."""
        if seconds > 0:
            self.acquire(context.make_token(), seconds)

    def acquire(self, token: clock.Token, timeout: float | None) -> bool:
        """See `clock.acquire`."""
        if timeout is None:
            return token.acquire()
        if timeout <= 0:
            return token.acquire(False)
        waiter = _Waiter(lambda: clock.release(token))
        self._push(self._now + timeout, waiter)
        try:
            token.acquire()
        finally:
            self._pop(waiter)
        return not waiter.fired

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        """See `clock.wait`."""
        if timeout is None or timeout <= 0 or event.is_set():
            return event.wait(timeout)
        # Time must wake the waiter without setting the event, so it waits on the event's own condition.
        condition: threading.Condition = event._cond  # type: ignore[attr-defined]  # noqa: SLF001
        with condition:
            self._wait_fired(condition, timeout, event.is_set)
        return event.is_set()

    def wait_condition(self, condition: threading.Condition, timeout: float | None) -> bool:
        """See `clock.wait_condition`."""
        if timeout is None or timeout <= 0:
            return condition.wait(timeout)
        return self._wait_fired(condition, timeout, None)

    def _wait_fired(self, condition: threading.Condition, timeout: float, is_set: Callable[[], bool] | None) -> bool:
        def wake() -> None:
            with condition:
                condition.notify_all()

        waiter = _Waiter(wake)
        if is_set is not None and is_set():
            return True
        self._push(self._now + timeout, waiter)
        try:
            while not waiter.fired:
                condition.wait()
                if is_set is None or is_set():
                    break
        finally:
            self._pop(waiter)
        return not waiter.fired


class ProbeRef(ActorRef["Probe"]):
    """What `Probe.start` returns: the ref, and what the probe recorded. It can be read after its end too."""

    def __init__(self, actor: Probe, cell: Cell) -> None:
        super().__init__(actor, cell)
        self._log: list[Any] = []
        self._read = 0
        self._grown = threading.Condition(threading.Lock())

    def record(self, item: object) -> None:
        """Used by the probe."""
        with self._grown:
            self._log.append(item)
            self._grown.notify_all()

    def received(self) -> list[Any]:
        """Everything recorded so far, in order; reading it does not affect `expect`."""
        with self._grown:
            return list(self._log)

    def expect(self, message: Any = ANYTHING, timeout: float = 5.0) -> Any:
        """Take the next recorded thing and return it, waiting up to `timeout` seconds of real time for it.

        Args:
            message: what it must be equal to; a class: what it must be an instance of; left out: anything.
            timeout: real seconds, also under a `FakeClock`.

        Raises:
            AssertionError: nothing came, or something else.
        """
        with self._grown:
            if not self._grown.wait_for(lambda: len(self._log) > self._read, timeout):
                what = "anything" if message is ANYTHING else repr(message)
                raise AssertionError(f"{self.name} received nothing within {timeout} s, expected {what}")
            got = self._log[self._read]
            self._read += 1
        if message is ANYTHING or got == message or (isinstance(message, type) and isinstance(got, message)):
            return got
        raise AssertionError(f"{self.name} received {got!r}, expected {message!r}")

    def expect_nothing(self) -> None:
        """Check that nothing is left to expect, once the probe handled all it was sent before this call.

        Raises:
            AssertionError: with what is left.
        """
        if self.is_alive():
            self.ask(_SYNC)
        with self._grown:
            left = self._log[self._read :]
        if left:
            raise AssertionError(f"{self.name} received {left!r}, expected nothing")

    def watch(self, ref: ActorRef[Any]) -> Monitor:
        """Have the probe monitor `ref`; it records the `Down`."""
        return monitor(self, ref)


_SYNC = object()


class Probe(Actor):
    """An actor that records, in order, each message, `Down` and (trapping exits) `Exit` that it gets.

    probe = Probe.start()
    service.tell(Subscribe(probe))
    probe.expect("hello", timeout=1.0)
    """

    trap_exit = True
    _beamlens_ref_class = ProbeRef

    def __init__(self, answer: Any = None) -> None:
        """Make a probe that answers every question with `answer`."""
        super().__init__()
        self._answer = answer

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ProbeRef:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start a probe; see `ProbeRef` for what can be done with it."""
        ref = super().start(*args, **kwargs)
        return cast("ProbeRef", ref)

    def _record(self, item: object) -> None:
        cast("ProbeRef", self.actor_ref).record(item)

    def on_receive(self, message: Any) -> Any:  # noqa: D102
        if message is _SYNC:
            return None
        self._record(message)
        return self._answer

    def on_down(self, down: Down) -> None:  # noqa: D102
        self._record(down)

    def on_exit(self, exit: Exit) -> None:  # noqa: A002, D102
        self._record(exit)
