"""One look of a watcher: closer looks at active sensors, then one run of the agent loop, in case two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beamlens.agent.limits import Limits, RunOutcome
from beamlens.findings.closer_look import gather_evidence
from beamlens.telemetry import new_trace_id
from beamlens.watcher.prompt import noted, opening, system_prompt
from beamlens_actors import AbortSignal, clock

if TYPE_CHECKING:
    from beamlens.detect import SensorState
    from beamlens.findings import Investigation
    from beamlens.llm.client import LLMClient, Message
    from beamlens.lua import Sandbox


@dataclass(frozen=True, slots=True)
class LookEnded:
    """The message of a look that ended: its number, and its outcome and conversation, ``None`` when it was lost."""

    number: int
    outcome: RunOutcome | None
    conversation: tuple[Message, ...] = ()


class Look:
    """What a watcher does once it is awake. `run` is the body of a task."""

    def __init__(
        self,
        found: Investigation,
        sandbox: Sandbox,
        *,
        reason: str,
        sensors: tuple[SensorState, ...],
        abort: AbortSignal,
        iterations: list[int],
        client: LLMClient | None = None,
        limits: Limits | None = None,
        continuous: bool = False,
        history: tuple[Message, ...] = (),
    ) -> None:
        """Prepare a look.

        Args:
            found: What the watcher knows.
            sandbox: Runs its Lua.
            reason: Why it looks.
            sensors: Those that are active.
            abort: Stops it.
            iterations: Its first element is set to the number of each turn.
            client: Who answers; by default the instance's primary client.
            limits: What ends a run that does not end by itself.
            continuous: Whether an answer in words ends it too.
            history: The conversation that it goes on with.
        """
        self._found = found
        self._sandbox = sandbox
        self._reason = reason
        self._sensors = sensors
        self._abort = abort
        self._iterations = iterations
        self._client = client
        self._limits = limits or Limits()
        self._continuous = continuous
        self.conversation = history
        """The conversation, for the next look to go on with; as before where the model failed."""

    def run(self) -> RunOutcome:
        """Look; returns how it ended.

        A model that fails, or does not come to an end, is followed by the offline analyst: no look is lost.
        """
        found, trace_id = self._found, new_trace_id()
        found.begin(self._reason)
        found.sensors = self._sensors
        found.evidence = gather_evidence(found, self._sensors, self._abort)
        client = self._client or found.services.client
        found.emit("look_started", reason=self._reason, model=client.model, trace_id=trace_id, trust="untrusted")
        outcome = self._run(client, trace_id)
        if not self._goes_on(outcome):
            error = outcome.error or "it came to no end"
            found.emit("taken_over", stopped_by=outcome.stopped_by, reason=error, trace_id=trace_id)
            outcome = self._run(found.services.offline, trace_id)
        return outcome

    def _goes_on(self, outcome: RunOutcome) -> bool:
        if outcome.model == self._found.services.offline.model or outcome.stopped_by in ("wait", "aborted"):
            return True
        return self._continuous and outcome.stopped_by in ("answered", "max_iterations")

    def _run(self, client: LLMClient, trace_id: str) -> RunOutcome:
        # Here and not at the top: whoever starts Beamlens does not wait for it.
        from beamlens.agent.loop import AgentLoop
        from beamlens.findings.tools import domain_tools
        from beamlens.watcher.wait import wait_tool

        found = self._found
        offline = client is found.services.offline
        loop = AgentLoop(
            found.services,
            kind="watcher",
            agent=found.agent,
            system=system_prompt(found.domain, continuous=self._continuous),
            tools=[*domain_tools(found, lambda: self._sandbox), wait_tool(found)],
            abort=self._abort,
            limits=self._limits,
            client=client,
            facts=self._facts,
            on_iteration=self._begin,
            until="answer" if self._continuous and not offline else "tool",
            pinned=lambda: noted(found),
        )
        found.model = lambda: loop.model
        first = loop.model
        outcome = loop.run(opening(found, self._reason), trace_id, () if offline else self.conversation)
        by_model = outcome.model == first
        found.end(in_time=by_model and outcome.stopped_by in ("wait", "answered"))
        if by_model and not offline and self._goes_on(outcome):
            self.conversation = loop.conversation
        return outcome

    def _begin(self, iteration: int) -> None:
        self._iterations[0] = iteration
        self._found.emit("iteration_start", iteration=iteration, watcher_state=self._found.health)

    def _facts(self) -> Mapping[str, Any]:
        found = self._found
        fired = [alert for alert in found.alerts() if clock.time() - alert.detected_at.timestamp() < _REMEMBERED]
        return {
            "role": "watcher",
            "domain": found.domain.name,
            "reason": self._reason,
            "state": found.health,
            "sensors": found.sensors,
            "evidence": dict(found.evidence),
            "snapshot_ids": [snapshot.id for snapshot in found.snapshots()],
            "fired": {alert.anomaly_type: alert.severity for alert in fired},
            "note": found.analyst_note,
        }


_REMEMBERED = 900.0
