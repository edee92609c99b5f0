# ruff: noqa: D102 - the functions of the module say what the methods of a clock do
"""Time, and every timed wait of the three packages, so that tests can replace it.

The functions of this module go to the installed clock: the real one, or a `testing.FakeClock` while that is
entered.
"""

from __future__ import annotations

import threading
import time as _time
from typing import TYPE_CHECKING, Any, Protocol

from beamlens_actors import context
from beamlens_actors.timers import Timer, real_call_later

if TYPE_CHECKING:
    from collections.abc import Callable


class Token(Protocol):
    """A lock used to wait: its maker holds it, and whoever wakes the waiter releases it."""

    def acquire(self, blocking: bool = ..., timeout: float = ..., /) -> bool: ...
    def release(self) -> None: ...


class Clock(Protocol):
    """What can be installed with `install`; the module's functions say what each method does."""

    def monotonic(self) -> float: ...
    def time(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    def wait(self, event: threading.Event, timeout: float | None) -> bool: ...
    def wait_condition(self, condition: threading.Condition, timeout: float | None) -> bool: ...
    def acquire(self, token: Token, timeout: float | None) -> bool: ...
    def call_later(self, delay: float, fn: Callable[[], object]) -> Timer: ...


def _bounded(timeout: float) -> float:
    return min(max(0.0, timeout), threading.TIMEOUT_MAX)


class RealClock:
    """The clock of the machine."""

    monotonic = staticmethod(_time.monotonic)
    time = staticmethod(_time.time)
    call_later = staticmethod(real_call_later)

    def sleep(self, seconds: float) -> None:
        """See `clock.sleep`."""
        if context.local.hub is None:
            _time.sleep(max(0.0, seconds))
        else:
            context.make_token().acquire(True, max(0.0, seconds))

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        """See `clock.wait`."""
        return event.wait(None if timeout is None else _bounded(timeout))

    def wait_condition(self, condition: threading.Condition, timeout: float | None) -> bool:
        """See `clock.wait_condition`."""
        return condition.wait(None if timeout is None else _bounded(timeout))

    def acquire(self, token: Token, timeout: float | None) -> bool:
        """See `clock.acquire`."""
        return token.acquire() if timeout is None else token.acquire(True, _bounded(timeout))


REAL: Clock = RealClock()
_clock: Clock = REAL


def install(clock: Clock) -> Clock:
    """Make `clock` the installed one; returns the one it replaces."""
    global _clock
    previous, _clock = _clock, clock
    return previous


def monotonic() -> float:
    """Seconds that never go back; for durations and deadlines."""
    return _clock.monotonic()


def time() -> float:
    """Seconds since the epoch."""
    return _clock.time()


def sleep(seconds: float) -> None:
    """Park the caller: its thread, on a hub only itself. A negative number is zero."""
    _clock.sleep(seconds)


def wait(event: threading.Event, timeout: float | None = None) -> bool:
    """Wait until `event` is set; False when `timeout` seconds passed first."""
    return _clock.wait(event, timeout)


def wait_condition(condition: threading.Condition, timeout: float | None = None) -> bool:
    """`condition.wait(timeout)`: the caller holds it; False when the time passed. May wake for no reason."""
    return _clock.wait_condition(condition, timeout)


def wait_until(condition: threading.Condition, predicate: Callable[[], Any], timeout: float | None = None) -> bool:
    """Wait on `condition`, which the caller holds, until `predicate()`.

    Returns whether it holds at the end.
    """
    deadline = None if timeout is None else monotonic() + timeout
    while not predicate():
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            return False
        wait_condition(condition, left)
    return True


def acquire(token: Token, timeout: float | None = None) -> bool:
    """Wait until `token` is released by whoever wakes; False when `timeout` seconds passed first.

    Under a fake clock the passing of time releases the token too, so use a token for one wait only, and
    release it with `release`.
    """
    return _clock.acquire(token, timeout)


def release(token: Token) -> None:
    """Release a wait token; releasing one that is free is fine."""
    try:
        token.release()
    except RuntimeError:
        pass


def call_later(delay: float, fn: Callable[[], object]) -> Timer:
    """Call `fn()` in `delay` seconds on the timer thread. It must be short; what it raises is logged."""
    return _clock.call_later(delay, fn)


def remaining(deadline: float | None) -> float | None:
    """Seconds until `deadline` (of `monotonic()`), never negative; `None` stays `None`."""
    return None if deadline is None else max(0.0, deadline - monotonic())
