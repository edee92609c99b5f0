"""One look of a watcher: closer looks at active sensors, then one run of the agent loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beamlens.agent.limits import Limits, RunOutcome
from beamlens.findings.closer_look import gather_evidence
from beamlens.telemetry import new_trace_id
from beamlens.watcher.prompt import opening, system_prompt
from beamlens_actors import AbortSignal, clock

if TYPE_CHECKING:
    from beamlens.detect import SensorState
    from beamlens.findings import Investigation
    from beamlens.llm.client import LLMClient
    from beamlens.lua import Sandbox


@dataclass(frozen=True, slots=True)
class LookEnded:
    """The message of a look that ended: its number and outcome, ``None`` when its task was lost."""

    number: int
    outcome: RunOutcome | None


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
    ) -> None:
        self._found = found
        self._sandbox = sandbox
        self._reason = reason
        self._sensors = sensors
        self._abort = abort
        self._iterations = iterations
        self._client = client
        self._limits = limits or Limits()

    def run(self) -> RunOutcome:
        """Look; returns how it ended."""
        # Here and not at the top: whoever starts Beamlens does not wait for it.
        from beamlens.agent.loop import AgentLoop
        from beamlens.findings.tools import domain_tools
        from beamlens.watcher.wait import wait_tool

        found = self._found
        found.begin(self._reason)
        found.sensors = self._sensors
        found.evidence = gather_evidence(found, self._sensors, self._abort)
        loop = AgentLoop(
            found.services,
            kind="watcher",
            agent=found.agent,
            system=system_prompt(found.domain),
            tools=[*domain_tools(found, lambda: self._sandbox), wait_tool(found)],
            abort=self._abort,
            limits=self._limits,
            client=self._client,
            facts=self._facts,
            on_iteration=self._begin,
        )
        found.model = lambda: loop.model
        first = loop.model
        outcome = loop.run(opening(found, self._reason), new_trace_id())
        found.end(in_time=outcome.stopped_by == "wait" and outcome.model == first)
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
            "note": found.note,
        }


_REMEMBERED = 900.0
