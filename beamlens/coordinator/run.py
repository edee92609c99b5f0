"""One run of the Coordinator: what every strategy works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from beamlens.agent.limits import Limits, RunOutcome
from beamlens.coordinator.board import Board
from beamlens.coordinator.job import Job
from beamlens.coordinator.prompt import NAME
from beamlens.coordinator.team import Team
from beamlens.errors import BeamlensError, Cancelled, DeadlineExceeded, LLMError
from beamlens.findings import Alert, CoordinatorResult, Insight, OperatorResult
from beamlens.llm.client import Message, Text
from beamlens.telemetry import new_trace_id
from beamlens.telemetry import run as runs
from beamlens_actors import Aborted, AbortSignal, clock
from beamlens_actors.words import in_words

if TYPE_CHECKING:
    from beamlens.agent import Services, Tool
    from beamlens.coordinator.strategies import Strategy
    from beamlens.coordinator.tools import Desk
    from beamlens.llm.client import LLMClient
    from beamlens.operator.calls import Operators

_SCHEDULED = "schedule"


class CoordinatorRun:
    """One run. `perform` is the body of a task; a strategy gets this and decides.

    Attributes:
        job: What it was asked.
        board: The alerts.
        team: The operators that it may ask.
        trace_id: 32 hex digits.
        scheduled: Seconds after which the next one is to begin, and why; ``None``: none is.
    """

    def __init__(
        self,
        services: Services,
        board: Board,
        operators: Operators,
        job: Job,
        *,
        strategy: Strategy,
        abort: AbortSignal,
        keep: Callable[[Insight], object],
        earlier: Sequence[Insight] = (),
        quiet_sensors: Callable[[], list[str]] = list,
        client: LLMClient | None = None,
        on_iteration: Callable[[int], object] = lambda _iteration: None,
    ) -> None:
        """Prepare one; see `CoordinatorActor`."""
        self.job = job
        self.board = board
        self.trace_id = new_trace_id()
        self.scheduled: tuple[float, str] | None = None
        self._services = services
        self._strategy = strategy
        self._abort = abort
        self._keep = keep
        self._earlier = tuple(earlier)
        self._quiet_sensors = quiet_sensors
        self._client = job.client or client
        self._on_iteration = on_iteration
        self._began = clock.monotonic()
        self._insights: list[Insight] = []
        self._seen: dict[str, Alert] = {}
        self._iterations = 0
        self._cost: float | None = 0.0
        self._error = ""
        self._model: Callable[[], str] = str
        self.team = Team(
            operators,
            allowed=job.domains,
            on_alert=self._operator_found,
            on_end=self._operator_ended,
            client=job.client,
        )

    # -- for strategies --------------------------------------------------------------------------------------

    @property
    def abort(self) -> AbortSignal:
        """Fires when the run is to end."""
        return self._abort

    @property
    def model(self) -> str:
        """Who answers now."""
        return self._model()

    @property
    def iterations(self) -> int:
        """Model calls so far."""
        return self._iterations

    @property
    def earlier(self) -> tuple[Insight, ...]:
        """The latest insights of the runs before."""
        return self._earlier

    def time_left(self) -> float:
        """Seconds until the deadline."""
        return max(0.001, self._began + self.job.deadline - clock.monotonic())

    def alerts(self) -> list[Alert]:
        """The alerts that are in no insight and not resolved, oldest first."""
        return self.board.unresolved()

    def emit(self, name: str, measurements: Mapping[str, Any] | None = None, /, **metadata: Any) -> None:
        """Emit an event of the Coordinator."""
        self._services.bus.emit(f"coordinator.{name}", NAME, measurements, **metadata)

    def desk(self) -> Desk:
        """What the Coordinator's tools work on, `beamlens.coordinator.tools.coordinator_tools` for example."""
        from beamlens.coordinator.tools import Desk

        return Desk(self)

    def keep(self, insight: Insight) -> None:
        """Keep an insight, resolve its alerts, and tell it."""
        self._insights.append(insight)
        self._keep(insight)
        if insight.alert_ids:
            self.board.update(insight.alert_ids, "resolved", f"insight {insight.id}")
        self.emit("insight_produced", insight=insight, trust="untrusted")

    def ask(
        self,
        system: str,
        tools: Sequence[Tool],
        opening: str | Sequence[Text | Message],
        *,
        facts: Callable[[], Mapping[str, Any]] | None = None,
        max_iterations: int | None = None,
    ) -> RunOutcome:
        """Run a model with tools until one of them ends it or a limit is reached.

        Args:
            system: The system prompt.
            tools: What it may call.
            opening: The first message.
            facts: For the offline analyst; by default `facts`.
            max_iterations: Most model calls; by default what the run has left.
        """
        # Here and not at the top: many a process never has an alert.
        from beamlens.agent.loop import AgentLoop

        left = max(1, self.job.max_iterations - self._iterations)
        before = self._iterations

        def begins(iteration: int) -> None:
            self._on_iteration(before + iteration)
            self.emit("iteration_start", iteration=before + iteration)

        loop = AgentLoop(
            self._services,
            kind="coordinator",
            agent=NAME,
            system=system,
            tools=tools,
            abort=self._abort,
            limits=Limits(
                deadline=self.time_left(), max_iterations=left if max_iterations is None else min(left, max_iterations)
            ),
            client=self._client,
            facts=facts or self.facts,
            on_iteration=begins,
            steering=self._steering,
            tells_end=False,
        )
        self._model = lambda: loop.model
        outcome = loop.run(opening, self.trace_id)
        self._iterations += outcome.iterations
        self._error = outcome.error or self._error
        known = self._cost is not None and outcome.cost_usd is not None
        self._cost = (self._cost or 0.0) + (outcome.cost_usd or 0.0) if known else None
        if outcome.stopped_by == _SCHEDULED:
            self.scheduled = outcome.ending["seconds"], outcome.ending["reason"]
        return outcome

    def facts(self) -> dict[str, Any]:
        """What the offline analyst goes by."""
        working = self.team.running()
        results = self.team.results()
        return {
            "role": "coordinator",
            "alerts": [_facts_of(alert) for alert in self.alerts()],
            # Whoever asked wants an answer, even if an insight has given it already.
            "earlier": [] if self.job.asked else self._named(),
            "quiet_sensors": self._quiet_sensors(),
            "asked": self.job.asked_by in ("caller", "schedule"),
            "question": self.job.question,
            "operators": self.team.available() if self.job.asked else {},
            "at_work": list(working),
            "results": results,
        }

    def _named(self) -> list[dict[str, Any]]:
        """The latest insights that named a cause, for those who ask whether it is the same trouble."""
        known = {alert.id: alert for alert, _status in self.board.select()}
        found: list[dict[str, Any]] = []
        for insight in self._earlier:
            # Alerts that another Coordinator dealt with, before it crashed, are not on this one's board.
            alerts = [known[alert_id] for alert_id in insight.alert_ids if alert_id in known]
            if insight.cause is not None and alerts:
                found.append(
                    {
                        "insight": insight.id,
                        "kind": insight.cause.kind,
                        "place": insight.cause.place,
                        "text": insight.cause.text,
                        "grounded": insight.hypothesis_grounded,
                        "at": min(alert.detected_at.timestamp() for alert in alerts),
                        "severity": max(alerts, key=lambda alert: alert.rank).severity,
                    }
                )
        return found

    def _steering(self) -> list[Message]:
        """What happened meanwhile, for the model. What operators say may quote the host."""
        if news := self.team.news():
            return [Message("user", (Text("News of the operators:"), Text("\n".join(news), source="operators")))]
        return []

    # -- operators -------------------------------------------------------------------------------------------

    def _operator_found(self, name: str, alert: Alert) -> None:
        self.board.add(alert)
        self.emit("operator_notification_received", operator=name, alert=alert, trust="untrusted")
        if self.job.handle is not None:
            self.job.handle.notify(alert)

    def _operator_ended(self, result: OperatorResult) -> None:
        for alert in result.alerts:
            self.board.add(alert)
        name = result.name
        if result.failed:
            self.emit("operator_crashed", operator=name, reason=f"{result.stopped_by} {result.error}".strip())
        else:
            self.emit("operator_complete", {"alerts": len(result.alerts)}, operator=name, state=result.state)

    # -- the task --------------------------------------------------------------------------------------------

    def perform(self) -> CoordinatorResult:
        """Do it; brings the job's handle to its end. Raises nothing that a strategy, model or operator did."""
        run = self._services.bus.begin(self.trace_id)
        token = runs.current.set(run)
        timer = clock.call_later(self.job.deadline, lambda: self._abort.abort("deadline"))
        handle = self.job.handle
        take_back: Callable[[], object] = _nothing if handle is None else handle.abort.on_abort(self._cancelled)
        for alert in self.job.alerts:
            self.board.add(alert)
        self._remember()
        try:
            result = self._result(self._decide())
            self._close(result)
        finally:
            timer.cancel()
            take_back()
            self.team.end()
            self.board.drop_added()
            run.close()
            runs.current.reset(token)
        return result

    def _cancelled(self) -> None:
        self._abort.abort("cancelled")

    def _remember(self) -> None:
        self._seen.update((alert.id, alert) for alert in self.alerts())

    def _decide(self) -> str:
        try:
            stopped_by = self._strategy.run(self)
        except Aborted:
            stopped_by = "aborted"
        except Exception as error:  # noqa: BLE001 - a strategy may be the user's own; the caller gets an answer
            self._error = f"strategy {self._strategy.name} failed: {in_words(error)}"
            return "strategy_error"
        if stopped_by == "max_iterations":
            at_work = self.team.running()
            self.emit("max_iterations_reached", {"running_operator_count": len(at_work)}, iteration=self._iterations)
            self.team.wait(self.time_left(), self._abort)
        if self._abort.aborted:
            return "deadline" if self._abort.reason == "deadline" else "cancelled"
        return stopped_by

    def _result(self, stopped_by: str) -> CoordinatorResult:
        self._remember()
        return CoordinatorResult(
            insights=tuple(self._insights),
            operator_results=tuple(self.team.results()),
            stopped_by=stopped_by,
            alerts=tuple(self._seen.values()),
            iterations=self._iterations,
            model=self.model,
            trace_id=self.trace_id,
            error=self._error,
            cost_usd=self._cost,
        )

    def _close(self, result: CoordinatorResult) -> None:
        took = {"duration": clock.monotonic() - self._began, "iterations": result.iterations}
        if result.stopped_by == "deadline":
            self.emit("deadline_exceeded", {"deadline": self.job.deadline})
        elif result.stopped_by == "cancelled":
            self.emit("cancelled", reason=str(self._abort.reason))
        self.emit("run_stopped", took, stopped_by=result.stopped_by)
        handle = self.job.handle
        if handle is None:
            return
        error = _failure(result, self.job.deadline)
        if error is None:
            handle.finish(result, result)
        else:
            handle.fail(error, result)


def _nothing() -> None:
    pass


def _failure(result: CoordinatorResult, deadline: float) -> BeamlensError | None:
    """Why a run has no result for its caller; ``None`` when it has one."""
    match result.stopped_by:
        case "deadline":
            return DeadlineExceeded(f"the Coordinator's run was ended by its deadline of {deadline:g} s")
        case "cancelled":
            return Cancelled("the Coordinator's run was cancelled")
        case "llm_error" | "call_timeout" | "empty_answer" | "invalid_transcript":
            kind: Any = "timeout" if result.stopped_by == "call_timeout" else "response"
            return LLMError(f"the Coordinator's model failed: {result.error}", kind=kind, retryable=True)
        case "strategy_error":
            return BeamlensError(result.error)
    return None


def _facts_of(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.id,
        "watcher": alert.watcher,
        "anomaly_type": alert.anomaly_type,
        "severity": alert.severity,
        "observation": alert.observation,
        "evidence": alert.evidence,
        "detected_at": alert.detected_at.timestamp(),
    }
