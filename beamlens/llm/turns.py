"""The turns of calls in one process: who may call now, who waits, who is sent away."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from beamlens.errors import LLMError
from beamlens.llm.breaker import Change, CircuitBreaker, Outcome, Pass, State
from beamlens.llm.bucket import TokenBucket
from beamlens_actors import Aborted, clock
from beamlens_actors.waiting import Condition

if TYPE_CHECKING:
    from beamlens_actors import AbortSignal

T = TypeVar("T")
Report = Callable[[str, Mapping[str, Any], Mapping[str, Any]], object]
"""Takes an event: its name in the catalogue, measurements, metadata."""
Reason = Literal["circuit_open", "rate_limited", "max_concurrency", "queue_full"]

_WORDS: Mapping[Reason, str] = {
    "circuit_open": "it failed too often in a row",
    "rate_limited": "the limit of calls an interval leaves no room in time",
    "max_concurrency": "the calls under way leave no room in time",
    "queue_full": "too many calls wait already",
}
_DOWN = frozenset({"server", "overloaded", "timeout", "connection"})


@dataclass(frozen=True, slots=True)
class DispatchLimits:
    """What a dispatcher keeps to.

    Attributes:
        concurrency: Most calls at once.
        calls: Most calls an interval; as many may come in one burst.
        interval: Seconds.
        queue: Most calls that wait for their turn.
        failure_threshold: Failures in a row that open the circuit.
        recovery: Seconds after which one call finds out whether it works again.
    """

    concurrency: int = 10
    calls: int = 20
    interval: float = 2.0
    queue: int = 1000
    failure_threshold: int = 5
    recovery: float = 30.0


@dataclass(frozen=True, slots=True)
class DispatcherState:
    """What a dispatcher does at the moment: ``rejected`` and ``dispatched`` are counts since it was made."""

    active: int
    waiting: int
    tokens: int
    circuit: State
    dispatched: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call is not made, and after how many seconds it may be."""

    reason: Reason
    retry_after: float | None = None


class Owner(Protocol):
    """Whose turns they are: `Dispatcher`."""

    name: str
    limits: DispatchLimits
    report: Report | None


class Gate:
    """A dispatcher in one process."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._limits = owner.limits
        self._changed = Condition()
        self._breaker = CircuitBreaker(owner.limits.failure_threshold, owner.limits.recovery)
        self._bucket = TokenBucket(owner.limits.calls, owner.limits.interval)
        self._queue: deque[object] = deque()
        self._active = 0
        self._dispatched = 0
        self._rejected = 0
        self._version = 0

    def state(self) -> DispatcherState:
        """See `Dispatcher.state`."""
        with self._changed:
            now = clock.monotonic()
            found = DispatcherState(
                self._active,
                len(self._queue),
                self._bucket.available(now),
                self._breaker.state(now),
                self._dispatched,
                self._rejected,
            )
        self._tell_changes()
        return found

    def run(self, call: Callable[[], T], abort: AbortSignal, deadline: float | None) -> T:
        """See `Dispatcher.run`; `deadline` is one of the clock's."""
        given = self._enter(abort, deadline)
        outcome: Outcome = "unknown"
        try:
            self._tell_depth()
            result = call()
            outcome = "success"
            return result
        except BaseException as error:
            outcome = _outcome(error)
            raise
        finally:
            self._leave(given, outcome)

    # -- the way in ------------------------------------------------------------------------------------------

    def _enter(self, abort: AbortSignal, deadline: float | None) -> Pass:
        began = clock.monotonic()
        self._tell("ai.dispatcher.dispatch")
        joined = self._join()
        self._tell_changes()
        if isinstance(joined, Refusal):
            raise self._reject(joined, clock.monotonic() - began)
        given, ticket, waits = joined
        refused = self._wait_in_line(given, ticket, waits, abort, deadline)
        if refused is not None:
            raise self._reject(refused, clock.monotonic() - began)
        return given

    def _join(self) -> tuple[Pass, object, bool] | Refusal:
        """Leave to call, a place in the queue and whether it must wait there; or why there is none."""
        with self._changed:
            given = self._breaker.enter(clock.monotonic())
            if given is None:
                return self._closed_to_us()
            waits = self._must_wait()
            if waits and len(self._queue) >= self._limits.queue:
                self._breaker.leave(given, "unknown", clock.monotonic())
                return Refusal("queue_full")
            ticket = object()
            self._queue.append(ticket)
            return given, ticket, waits

    def _wait_in_line(
        self, given: Pass, ticket: object, waits: bool, abort: AbortSignal, deadline: float | None
    ) -> Refusal | None:
        """Wait for a slot and a token; why there is none in time."""
        take_back = abort.on_abort(self._wake)
        admitted = False
        try:
            if waits:
                self._tell_depth()
            with self._changed:
                refused = self._wait(ticket, given, abort, deadline)
            admitted = refused is None
            return refused
        finally:
            take_back()
            with self._changed:
                self._queue.remove(ticket)
                if not admitted:
                    self._breaker.leave(given, "unknown", clock.monotonic())
                self._wake()
            if not admitted:
                self._tell_changes()
                self._tell_depth()

    def _wait(self, ticket: object, given: Pass, abort: AbortSignal, deadline: float | None) -> Refusal | None:
        while True:
            abort.raise_if_aborted()
            now = clock.monotonic()
            if not self._breaker.still(given, now):
                return self._closed_to_us()
            delay = self._try(ticket, now)
            if delay == 0:
                return None
            left = math.inf if deadline is None else deadline - now
            if left <= 0 or (delay is not None and delay >= left):
                return Refusal("rate_limited" if self._active < self._limits.concurrency else "max_concurrency", delay)
            seen = self._version
            until = min(left, math.inf if delay is None else delay)
            self._changed.wait_until(
                lambda seen=seen: abort.aborted or self._version != seen,  # type: ignore[misc]
                None if until == math.inf else until,
            )

    def _try(self, ticket: object, now: float) -> float | None:
        """0: it is its turn, slot and token are taken. Seconds until it may be; ``None``: until others are done."""
        if self._queue[0] is not ticket or self._active >= self._limits.concurrency:
            return None
        delay = self._bucket.take(now)
        if delay == 0:
            self._active += 1
            self._dispatched += 1
        return delay

    def _must_wait(self) -> bool:
        full = self._active >= self._limits.concurrency
        return full or bool(self._queue) or not self._bucket.available(clock.monotonic())

    def _closed_to_us(self) -> Refusal:
        return Refusal("circuit_open", self._breaker.wait(clock.monotonic()))

    # -- the way out -----------------------------------------------------------------------------------------

    def _leave(self, given: Pass, outcome: Outcome) -> None:
        with self._changed:
            self._active -= 1
            self._breaker.leave(given, outcome, clock.monotonic())
            self._wake()
        self._tell_changes()
        self._tell_depth()

    def _wake(self) -> None:
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def _reject(self, refused: Refusal, waited: float) -> LLMError:
        reason, retry_after = refused.reason, refused.retry_after
        with self._changed:
            self._rejected += 1
        numbers = {"duration": waited, "retry_after": retry_after}
        self._tell("ai.dispatcher.rejected", numbers, reason=reason)
        self._tell_depth()
        again = "" if not retry_after else f"; it may be called again in {retry_after:.1f} s"
        text = f"{self._owner.name} is not called: {_WORDS[reason]}{again}"
        # Not soon: whoever asks has something else to turn to.
        return LLMError(text, kind="rejected", retryable=False, retry_after=retry_after)

    # -- events: never with the lock held, for a receiver may take its time ----------------------------------

    def _tell(self, name: str, numbers: Mapping[str, Any] | None = None, **metadata: Any) -> None:
        report = self._owner.report
        if report is not None:
            report(name, numbers or {}, {"provider": self._owner.name, **metadata})

    def _tell_depth(self) -> None:
        if self._owner.report is not None:
            cap = self._limits.concurrency
            numbers = {"active": self._active, "waiting": len(self._queue), "cap": cap}
            self._tell("ai.dispatcher.queue_depth", numbers)

    def _tell_changes(self) -> None:
        with self._changed:
            changes, self._breaker.changes = self._breaker.changes, []
            failures = self._breaker.failures
        for change in changes:
            self._tell(f"ai.circuit_breaker.{change}", self._numbers(change, failures))

    def _numbers(self, change: Change, failures: int) -> dict[str, Any]:
        if change == "opened":
            return {"failure_count": failures, "failure_threshold": self._limits.failure_threshold}
        return {"recovery": self._limits.recovery} if change in ("half_opened", "reopened") else {}


def _outcome(error: BaseException) -> Outcome:
    if isinstance(error, LLMError):
        if error.kind in _DOWN or (error.kind == "response" and error.retryable):
            return "failure"
        return "unknown" if error.kind == "rejected" else "answered"
    return "failure" if isinstance(error, Exception) and not isinstance(error, Aborted) else "unknown"
