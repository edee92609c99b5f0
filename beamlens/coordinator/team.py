"""The operators that one run of the Coordinator asks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beamlens.errors import BeamlensError
from beamlens.findings import Alert, OperatorResult, RunHandle
from beamlens.findings.wire import utc_now
from beamlens_actors import AbortSignal
from beamlens_actors.waiting import Condition

if TYPE_CHECKING:
    from datetime import datetime

    from beamlens.findings import OperatorMessage
    from beamlens.llm.client import LLMClient
    from beamlens.operator.calls import Operators

_RESULTS_KEPT = 50
_MOST_ASKED = 16


@dataclass(frozen=True, slots=True)
class Member:
    """An operator at work for this run.

    Attributes:
        handle: Its run.
        started_at: When it was asked, UTC.
    """

    handle: RunHandle[list[Alert]]
    started_at: datetime


class Team:
    """Asks operators, collects what they find, and tells when something comes. Thread-safe; ended with its run.

    Only its own runs are ever cancelled: an operator that works for others too works on.
    """

    def __init__(
        self,
        operators: Operators,
        *,
        allowed: Iterable[str] | None = None,
        on_alert: Callable[[str, Alert], object],
        on_end: Callable[[OperatorResult], object],
        client: LLMClient | None = None,
    ) -> None:
        """Make one.

        Args:
            operators: Those of the instance.
            allowed: Whom it may ask; ``None``: all.
            on_alert: Is called with the operator's name and each alert that it finds.
            on_end: Is called with what each ended with.
            client: Who answers for the operators of this run; by default each one's own.
        """
        self._operators = operators
        self._allowed = None if allowed is None else tuple(dict.fromkeys(allowed))
        self._on_alert = on_alert
        self._on_end = on_end
        self._client = client
        self._changed = Condition(threading.RLock())
        self._running: dict[str, Member] = {}
        self._results: deque[OperatorResult] = deque(maxlen=_RESULTS_KEPT)
        self._news: list[str] = []
        self._ended = False

    def available(self) -> dict[str, str]:
        """Whom it may ask, with what each watches in a line."""
        described = dict(self._operators.descriptions())
        if self._allowed is None:
            return described
        return {name: described.get(name, "") for name in self._allowed}

    def invoke(
        self, names: Iterable[str], context: Mapping[str, Any], *, max_iterations: int, deadline: float | None
    ) -> tuple[list[str], dict[str, str]]:
        """Ask operators.

        Returns:
            The names of those that were started, and why each other one was not.
        """
        started, refused = [], {}
        for name in dict.fromkeys(names):
            reason = self._refusal(name)
            if not reason:
                reason = self._start(name, context, max_iterations, deadline)
            if reason:
                refused[name] = reason
            else:
                started.append(name)
        return started, refused

    def _refusal(self, name: str) -> str:
        with self._changed:
            if self._ended:
                return "the run has ended"
            if name in self._running:
                return "it is at work for this run already"
            if len(self._running) >= _MOST_ASKED:
                return f"{_MOST_ASKED} operators are at work; wait for one"
        allowed = self.available()
        if name not in allowed and (self._allowed is not None or not self._operators.known(name)):
            return f"there is none of that name; there are: {', '.join(allowed) or 'none'}"
        return ""

    def _start(self, name: str, context: Mapping[str, Any], max_iterations: int, deadline: float | None) -> str:
        with self._changed:  # held, so that its end finds it among those that run
            try:
                handle = self._operators.start(
                    name,
                    context,
                    client=self._client,
                    max_iterations=max_iterations,
                    deadline=deadline,
                    on_notification=lambda alert: self._found(name, alert),
                    on_complete=lambda handle: self._completed(name, handle),
                )
            except BeamlensError as error:
                return str(error)
            if handle.state != "done":
                self._running[name] = Member(handle, utc_now())
            return ""

    def _found(self, name: str, alert: Alert) -> None:
        with self._changed:
            if self._ended:
                return
            self._news.append(f"Operator {name} found {alert.severity} {alert.anomaly_type} (alert {alert.id}).")
        self._on_alert(name, alert)

    def _completed(self, name: str, handle: RunHandle[list[Alert]]) -> None:
        result = _result(name, handle)
        with self._changed:
            self._running.pop(name, None)
            if self._ended:
                return
            self._results.append(result)
            self._news.append(_told(result))
        self._on_end(result)
        with self._changed:
            self._changed.notify_all()

    def news(self) -> list[str]:
        """What has happened since the question before."""
        with self._changed:
            told, self._news = self._news, []
            return told

    def running(self) -> dict[str, Member]:
        """Those at work."""
        with self._changed:
            return dict(self._running)

    def results(self) -> list[OperatorResult]:
        """What those that ended found, in the order of their end; the last 50."""
        with self._changed:
            return list(self._results)

    def wait(self, timeout: float | None, abort: AbortSignal) -> bool:
        """Wait until none is at work; whether that is so."""
        return self._wait(lambda: not self._running, timeout, abort)

    def wait_for_news(self, timeout: float, abort: AbortSignal) -> bool:
        """Wait until something happens that the model was not told; whether something did."""
        return self._wait(lambda: bool(self._news), timeout, abort)

    def _wait(self, holds: Callable[[], bool], timeout: float | None, abort: AbortSignal) -> bool:
        def wake() -> None:
            with self._changed:
                self._changed.notify_all()

        take_back = abort.on_abort(wake)
        try:
            with self._changed:
                self._changed.wait_until(lambda: holds() or abort.aborted, timeout)
                return holds()
        finally:
            take_back()

    def statuses(self) -> list[dict[str, Any]]:
        """Each operator of this run: name, whether it lives, state, iteration, whether it runs, when it was asked."""
        rows = []
        for name, member in self.running().items():
            status = self._operators.status(name)
            rows.append(
                {
                    "operator": name,
                    "alive": status is not None,
                    "state": None if status is None else status.state,
                    "iteration": None if status is None else status.iteration,
                    "running": member.handle.state == "running",
                    "started_at": member.started_at.isoformat(),
                }
            )
        done = {result.name: result for result in self.results()}
        rows += [
            {
                "operator": result.name,
                "alive": self._operators.status(result.name) is not None,
                "state": None if result.failed else result.state,
                "iteration": result.iterations,
                "running": False,
                "ended": result.stopped_by,
            }
            for result in done.values()
        ]
        return rows

    def message(self, name: str, prompt: str, timeout: float) -> OperatorMessage:
        """Speak to an operator.

        Raises:
            BeamlensError: It is not there, or its model failed.
            TimeoutError: It did not answer in time.
        """
        return self._operators.message(name, prompt, timeout)

    def end(self) -> None:
        """The run is over: cancel what still works for it."""
        with self._changed:
            self._ended = True
            members, self._running = list(self._running.values()), {}
        for member in members:
            member.handle.cancel()


def _result(name: str, handle: RunHandle[list[Alert]]) -> OperatorResult:
    if isinstance(handle.report, OperatorResult):
        return handle.report
    return OperatorResult(name, stopped_by="lost", error=str(handle.error or "it ended without a word"))


def _told(result: OperatorResult) -> str:
    if result.failed:
        reason = f": {result.error}" if result.error else ""
        return f"Operator {result.name} broke off ({result.stopped_by}{reason}); what it did not find says nothing."
    return f"Operator {result.name} has ended: {result.state}, {len(result.alerts)} alerts."
