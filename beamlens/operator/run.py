"""One run of an operator: borrow the domain, look, give it back, say how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from beamlens.agent.limits import Limits
from beamlens.agent.supervised import Supervised
from beamlens.detect import SensorState
from beamlens.errors import BeamlensError, Cancelled, DeadlineExceeded, LLMError
from beamlens.findings import Investigation, OperatorResult
from beamlens.findings.closer_look import gather_evidence, nearest
from beamlens.lua import Sandbox
from beamlens.operator.sensing import Asked, Blind, Senses, Sensing, Watched
from beamlens.operator.speech import Memory
from beamlens.telemetry import new_trace_id
from beamlens_actors import Aborted, clock
from beamlens_actors.words import in_words

if TYPE_CHECKING:
    from beamlens.agent.limits import RunOutcome
    from beamlens.agent.loop import AgentLoop
    from beamlens.agent.services import Services
    from beamlens.evidence import Evidence
    from beamlens.findings import Alert
    from beamlens.llm.client import LLMClient, Message
    from beamlens.operator.lending import Lender, Lent
    from beamlens.operator.requests import Invoke
    from beamlens_actors import AbortSignal

_FIRST_READING = 10.0
_LOOKS_AT_ONE = 3


class OperatorRun:
    """A run from its begin to its end. `run` is the body of a task; the rest may be called from anywhere.

    Attributes:
        request: What was asked.
        iteration: Turns so far.
        found: What was found, once the domain is there.
        loop: The conversation, once it has begun.
    """

    def __init__(
        self,
        services: Services,
        name: str,
        lender: Lender,
        request: Invoke,
        *,
        client: LLMClient | None,
        max_iterations: int,
        on_notification: Callable[[Alert], object],
    ) -> None:
        """Prepare.

        Args:
            services: The instance.
            name: The operator.
            lender: Gives the domain.
            request: What was asked; its handle's `abort` ends the run.
            client: Who answers; by default the instance's primary client.
            max_iterations: Most model calls.
            on_notification: Is told of each finding.
        """
        self.request = request
        self.iteration = 0
        self.found: Investigation | None = None
        self.loop: AgentLoop | None = None
        self.senses: Senses = Blind()
        self._asked: Asked | None = None
        self._services = services
        self._name = name
        self._lender = lender
        self._client = client
        self._limits = Limits(max_iterations=max_iterations)
        self._on_notification = on_notification
        self._lent: Lent | None = None
        self._trace_id = new_trace_id()
        self._looks: dict[str, int] = {}
        self._told: frozenset[str] = frozenset()
        self._done = False

    def give_back(self) -> None:
        """Give the domain back, should the run have been unable to."""
        if self._lent is not None:
            self._lent.give_back()

    def run(self) -> tuple[OperatorResult, BaseException | None]:
        """Look; returns how it ended, and the error where it has no result. Raises nothing."""
        abort = self.request.handle.abort.child()
        deadline = self.request.deadline
        timer = None if deadline is None else clock.call_later(deadline, lambda: abort.abort("deadline"))
        began = clock.monotonic()
        outcome: RunOutcome | None = None
        problem: BaseException | None = None
        try:
            outcome = self._look(abort)
        except Aborted:
            pass
        except BeamlensError as error:
            problem = error
        except Exception as error:  # noqa: BLE001 - a domain is foreign code
            problem = _crashed(self._name, error)
        finally:
            if timer is not None:
                timer.cancel()
        stopped_by = self._stopped_by(outcome, problem, abort)
        problem = problem or self._problem(stopped_by, outcome)
        result = self._result(stopped_by, problem, outcome)
        self._tell_end(result, clock.monotonic() - began)
        return result, problem

    def memory(self) -> Memory | None:
        """What it knows by now, to be spoken about; ``None`` before it has begun to look."""
        from beamlens.operator.prompt import system_prompt

        found, loop = self.found, self.loop
        if found is None or loop is None:
            return None
        return Memory(system_prompt(found.domain), loop.messages(), self.facts())

    def so_far(self, stopped_by: str, error: BaseException) -> OperatorResult:
        """What was found until now, for a run that is broken off from outside."""
        return self._result(stopped_by, error, None)

    # -- the look --------------------------------------------------------------------------------------------

    def _look(self, abort: AbortSignal) -> RunOutcome:
        abort.raise_if_aborted()
        over = abort.child()
        try:
            lent = self._lent = self._lender()
            found = self.found = Investigation(
                self._services,
                lent.domain,
                kind="operator",
                agent=self._name,
                publish=self._publish,
                once=True,
                recording_since=lent.recording_since,
            )
            self.senses = self._begin_sensing(found, lent, over)
            return self._converse(found, abort)
        finally:
            over.abort("the run is over")
            self.give_back()

    def _begin_sensing(self, found: Investigation, lent: Lent, over: AbortSignal) -> Senses:
        asked = self._asked = Asked(lent.domain)
        if lent.watching is not None:
            return Watched(lent.watching, asked)

        def failed(reason: str) -> None:
            found.emit("sensor_failed", reason=reason, trust="untrusted")

        sensing = Sensing(lent.domain, asked, failed)
        tasks = self._services.tool_tasks()
        try:
            Supervised(tasks, sensing.read, f"{self._name}:sensors").result(_FIRST_READING, over)
        except TimeoutError:
            failed(f"sense() has not returned for {_FIRST_READING:g} s")
        tasks.run_nolink(sensing.run, over, name=f"{self._name}:sensors", shutdown=0.2)
        return sensing

    def _converse(self, found: Investigation, abort: AbortSignal) -> RunOutcome:
        # Here and not at the top: an operator that is never asked needs none of it.
        from beamlens.agent.loop import AgentLoop
        from beamlens.findings.tools import domain_tools
        from beamlens.operator.prompt import context_lines, opening, system_prompt
        from beamlens.operator.tools import run_tools

        lines = context_lines(self.request.context)
        found.begin("\n".join(lines))
        self._observe(found, abort)
        sandbox = Sandbox(found.domain.callbacks())
        loop = self.loop = AgentLoop(
            self._services,
            kind="operator",
            agent=self._name,
            system=system_prompt(found.domain),
            tools=[*domain_tools(found, lambda: sandbox), *run_tools(found, self.senses, self._end_with)],
            abort=abort,
            limits=self._limits,
            client=self._client,
            facts=self.facts,
            on_iteration=self._begin_iteration,
            steering=lambda: self._what_changed(found, abort),
        )
        found.model = lambda: loop.model
        first = loop.model
        try:
            outcome = loop.run(opening(found, lines), self._trace_id)
            found.end(in_time=outcome.stopped_by == "done" and outcome.model == first)
        finally:
            sandbox.close()
        return outcome

    def _publish(self, alert: Alert) -> str:
        self._services.bus.emit("operator.notification_sent", self._name, notification=alert, trust="untrusted")
        self.request.handle.notify(alert)
        self._on_notification(alert)
        return "sent"

    def _end_with(self, summary: str) -> None:
        found = self.found
        if found is not None:
            found.emit("done", {"count": found.fired}, summary=summary, trust="untrusted")

    def _begin_iteration(self, iteration: int) -> None:
        self.iteration = iteration
        found = self.found
        if found is not None:
            found.emit("iteration_start", iteration=iteration, operator_state=found.health)

    # -- sensors ---------------------------------------------------------------------------------------------

    def _observe(self, found: Investigation, abort: AbortSignal) -> bool:
        """Take what is active, look closer at what is not clear yet; whether there is news."""
        active = self.senses.active()
        unclear = [one for one in active if self._wants_look(one, found.evidence)]
        known = {name: pieces for name, pieces in found.evidence.items() if name in {one.name for one in active}}
        for one in unclear:
            self._looks[one.name] = self._looks.get(one.name, 0) + 1
        gathered = gather_evidence(found, map(self._for_evidence, unclear), abort) if unclear else {}
        fresh = {one.name: gathered.get(self._for_evidence(one).name, ()) for one in unclear}
        found.sensors, found.evidence = active, {**known, **{name: got for name, got in fresh.items() if got}}
        names = frozenset(one.name for one in active)
        news = bool(names - self._told) or any(fresh.values())
        self._told = names
        return news

    def _wants_look(self, state: SensorState, evidence: Mapping[str, tuple[Evidence, ...]]) -> bool:
        if self._looks.get(state.name, 0) >= _LOOKS_AT_ONE:
            return False
        return not any(piece.strength == "conclusive" for piece in evidence.get(state.name, ()))

    def _for_evidence(self, state: SensorState) -> SensorState:
        return state if self._asked is None else self._asked.for_evidence(state)

    def _what_changed(self, found: Investigation, abort: AbortSignal) -> Iterable[Message]:
        """Before each turn: what the sensors say that they did not say before."""
        from beamlens.llm.client import Message
        from beamlens.operator.prompt import standing

        if self.iteration == 0 and self.loop is not None and len(self.loop.messages()) <= 1:
            return ()  # the first message says it
        if not self._observe(found, abort) or not found.sensors:
            return ()
        return (Message("user", tuple(standing(found.sensors, found.evidence))),)

    def facts(self) -> Mapping[str, Any]:
        """How things stand, for the offline analyst."""
        found = self.found
        if found is None:
            return {}
        snapshots = found.snapshots()
        return {
            "role": "operator",
            "domain": found.domain.name,
            "reason": found.reason,
            "state": found.health,
            "settled": self.senses.settled,
            "sensors": found.sensors,
            "evidence": dict(found.evidence),
            "snapshot_ids": [snapshot.id for snapshot in snapshots],
            "fired": {alert.anomaly_type: alert.severity for alert in found.alerts()},
            "observations": [alert.observation for alert in found.alerts()],
            "nearest": nearest(found.domain.metrics, snapshots[-1].data) if snapshots else [],
        }

    # -- the end ---------------------------------------------------------------------------------------------

    def _stopped_by(self, outcome: RunOutcome | None, problem: BaseException | None, abort: AbortSignal) -> str:
        if outcome is not None:
            return {"aborted": "cancelled", "call_timeout": "llm_error"}.get(outcome.stopped_by, outcome.stopped_by)
        if abort.aborted:
            return "deadline" if abort.reason == "deadline" else "cancelled"
        return "llm_error" if isinstance(problem, LLMError) else "crashed"

    def _problem(self, stopped_by: str, outcome: RunOutcome | None) -> BaseException | None:
        if stopped_by in ("done", "max_iterations"):
            return None
        if stopped_by == "deadline":
            seconds = self.request.deadline
            return DeadlineExceeded(f"the run of {self._name} was ended by its deadline of {seconds:g} s")
        if stopped_by == "cancelled":
            return Cancelled(f"the run of {self._name} was cancelled")
        reason = f": {outcome.error}" if outcome is not None and outcome.error else ""
        if stopped_by == "llm_error":
            return LLMError(f"the model of {self._name} failed{reason}", kind="server", retryable=True)
        said = _last_refusal(outcome) if outcome is not None else ""
        text = f"the run of {self._name} broke off, stopped by {stopped_by}{reason}{said}"
        return LLMError(text, kind="response", retryable=True)

    def _result(self, stopped_by: str, problem: BaseException | None, outcome: RunOutcome | None) -> OperatorResult:
        found = self.found
        result = OperatorResult(
            self._name,
            stopped_by=stopped_by,
            error=str(problem) if problem is not None else "",
            iterations=self.iteration,
            trace_id=self._trace_id,
        )
        if found is not None:
            result = replace(
                result,
                state=found.health,
                alerts=tuple(found.alerts()),
                snapshots=tuple(found.snapshots()),
                model=found.model(),
            )
        if outcome is not None:
            result = replace(result, iterations=outcome.iterations, cost_usd=outcome.cost_usd, model=outcome.model)
        return result

    def _tell_end(self, result: OperatorResult, took: float) -> None:
        emit = self._services.bus.emit
        if result.stopped_by == "max_iterations":
            emit("operator.max_iterations_reached", self._name, {"iterations": result.iterations})
        numbers = {"count": len(result.alerts), "iterations": result.iterations, "duration": took}
        emit(
            "operator.run_ended",
            self._name,
            numbers,
            run_id=self.request.handle.id,
            stopped_by=result.stopped_by,
            state=result.state,
            error=result.error,
            trust="untrusted",
        )


def _crashed(name: str, error: Exception) -> BeamlensError:
    crashed = BeamlensError(f"the run of {name} failed: {in_words(error)}")
    crashed.__cause__ = error
    return crashed


def _last_refusal(outcome: RunOutcome) -> str:
    from beamlens.llm.client import ToolOutput

    for message in reversed(outcome.messages):
        for block in reversed(message.content):
            if isinstance(block, ToolOutput) and block.is_error:
                return f"; the last answer of a tool was: {block.content[:500]}"
    return ""
