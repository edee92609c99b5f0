"""A run that was asked for: whoever asked holds it, whoever runs it brings it to its end."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from beamlens.errors import AlreadyAwaiting, Cancelled
from beamlens_actors import AbortSignal, clock
from beamlens_actors.waiters import async_waiter
from beamlens_actors.waiting import Condition

if TYPE_CHECKING:
    from beamlens.findings.alert import Alert
    from beamlens.findings.results import CoordinatorResult, OperatorResult

logger = logging.getLogger("beamlens")

R = TypeVar("R")
State = Literal["queued", "running", "done"]

_NOTIFICATIONS_KEPT = 1000


class RunHandle(Generic[R]):
    """A run of an operator or of the Coordinator. Thread-safe.

    Iterating gives the alerts as they come, and ends with the run.

    Attributes:
        id: 16 hex digits.
        name: Who runs it.
        abort: Fires when the run is to end; whoever runs it listens.
        report: All that the run ended with, an `OperatorResult` or a `CoordinatorResult`, also where `result` raises;
            ``None`` before, and when it never began.
    """

    def __init__(
        self,
        name: str,
        *,
        on_notification: Callable[[Alert], object] | None = None,
        on_complete: Callable[[RunHandle[R]], object] | None = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make one that is queued.

        Args:
            name: Who runs it.
            on_notification: Is called with each alert, on the run's own thread.
            on_complete: Is called with this handle once the run has ended, in whatever way, on the thread that ends it.
            wanted: Asked when its turn comes: whether whoever asked is still there.
        """
        self.id = secrets.token_hex(8)
        self.name = name
        self.abort = AbortSignal()
        self._on_notification = on_notification
        self._on_complete = on_complete
        self._wanted = wanted
        self._changed = Condition(threading.RLock())
        self._state: State = "queued"
        self._value: R | None = None
        self._error: BaseException | None = None
        self.report: OperatorResult | CoordinatorResult | None = None
        self._alerts: list[Alert] = []
        self._awaited = False
        self._ended: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"<RunHandle {self.id} of {self.name}, {self._state}>"

    # -- who asked -------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """``queued``, ``running`` or ``done``."""
        return self._state

    @property
    def error(self) -> BaseException | None:
        """Why it has no result; ``None`` while it runs, and when it has one."""
        return self._error

    def notifications(self) -> list[Alert]:
        """The alerts so far, oldest first; at most 1000."""
        with self._changed:
            return list(self._alerts)

    def result(self, timeout: float | None = None) -> R:
        """Wait for the end.

        Args:
            timeout: Seconds; the run goes on when they pass, and may be waited for again.

        Raises:
            TimeoutError: It has not ended by then.
            AlreadyAwaiting: Somebody waits already.
            Cancelled: It was cancelled, or its agent ended.
            DeadlineExceeded: Its deadline ended it.
            LLMError: No model could be asked.
        """
        with self._changed:
            self._claim()
            try:
                ended = self._changed.wait_until(lambda: self._state == "done", timeout)
            finally:
                self._awaited = False
            if not ended:
                raise self._late(timeout)
            return self._outcome()

    async def wait(self, timeout: float | None = None) -> R:  # noqa: ASYNC109 - as `result`, by the same clock
        """`result` for asyncio; a cancelled task cancels the run."""
        waiter, woken = async_waiter()
        with self._changed:
            self._claim()
        timer = None if timeout is None else clock.call_later(timeout, waiter.wake)
        try:
            self.add_done_callback(waiter.wake)
            await woken.wait()
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            self._awaited = False
            if timer is not None:
                timer.cancel()
        if self._state != "done":
            raise self._late(timeout)
        return self._outcome()

    def _late(self, timeout: float | None) -> TimeoutError:
        return TimeoutError(f"the run of {self.name} has not ended within {timeout:g} s; it is {self._state}")

    def _claim(self) -> None:
        if self._awaited and self._state != "done":
            raise AlreadyAwaiting(f"somebody waits for this run of {self.name} already")
        self._awaited = True

    def _outcome(self) -> R:
        if self._error is not None:
            raise self._error
        value: Any = self._value
        return value  # type: ignore[no-any-return]

    def cancel(self) -> bool:
        """End it: a queued run loses its place, one in progress is aborted. False: it had ended."""
        if self.withdraw():
            return True
        if self._state == "done":
            return False
        self.abort.abort("cancelled")
        return True

    def withdraw(self) -> bool:
        """Give up a place in the queue; a run in progress goes on. Whether it was queued."""
        error = Cancelled(f"the run of {self.name} was cancelled before it began")
        if not self._end(None, error, None, queued=True):
            return False
        self.abort.abort("cancelled")
        return True

    def __iter__(self) -> Iterator[Alert]:
        told = 0
        while fresh := self._after(told):
            told += len(fresh)
            yield from fresh

    def _after(self, told: int) -> list[Alert]:
        """The alerts after so many, once there are any; none once it has ended."""
        with self._changed:
            self._changed.wait_until(lambda: len(self._alerts) > told or self._state == "done")
            return self._alerts[told:]

    def add_done_callback(self, fn: Callable[[], object]) -> None:
        """Call `fn()` once it has ended, on the thread that ends it; at once when it has."""
        with self._changed:
            if self._state != "done":
                self._ended.append(fn)
                return
        fn()

    # -- who runs it -----------------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Its turn has come. False: nobody wants it any more."""
        if not self._wanted():
            self._end(None, Cancelled(f"whoever asked for the run of {self.name} is gone"), None, queued=True)
        with self._changed:
            if self._state != "queued":
                return False
            self._state = "running"
            return True

    def notify(self, alert: Alert) -> None:
        """An alert was found."""
        with self._changed:
            if self._state == "done":
                return
            if len(self._alerts) < _NOTIFICATIONS_KEPT:
                self._alerts.append(alert)
            self._changed.notify_all()
        if self._on_notification is not None:
            _guarded(self._on_notification, alert)

    def finish(self, value: R, report: OperatorResult | CoordinatorResult | None = None) -> bool:
        """It ended with a result. False: it had ended before."""
        return self._end(value, None, report)

    def fail(self, error: BaseException, report: OperatorResult | CoordinatorResult | None = None) -> bool:
        """It ended without one. False: it had ended before."""
        return self._end(None, error, report)

    def _end(
        self,
        value: R | None,
        error: BaseException | None,
        report: OperatorResult | CoordinatorResult | None,
        *,
        queued: bool = False,
    ) -> bool:
        with self._changed:
            if self._state == "done" or (queued and self._state != "queued"):
                return False
            self._value, self._error, self.report, self._state = value, error, report, "done"
            self._changed.notify_all()
            told, self._ended = self._ended, []
        for fn in told:
            _guarded(fn)
        if self._on_complete is not None:
            _guarded(self._on_complete, self)
        return True


def _guarded(fn: Callable[..., object], *arguments: object) -> None:
    try:
        fn(*arguments)
    except Exception:
        logger.exception("a callback of a run failed")
