"""What runs of operators and of the Coordinator end with."""

from __future__ import annotations

from dataclasses import dataclass

from beamlens.findings.alert import Alert
from beamlens.findings.insight import Insight
from beamlens.findings.snapshot import Snapshot
from beamlens.findings.status import Health


@dataclass(frozen=True, slots=True)
class OperatorResult:
    """What an operator found in one run.

    Attributes:
        name: The operator.
        state: Its assessment at the end.
        alerts: What it found, oldest first.
        snapshots: What it looked at, oldest first.
        stopped_by: What ended it: ``done``, a limit such as ``max_iterations``, ``deadline``, ``cancelled``, or
            ``llm_error``.
        error: What failed, if something did; ``""`` is not yet healthy: see `state`.
        iterations: Model calls.
        model: Who answered last; ``"offline"`` for the offline analyst.
        trace_id: The run, 32 hex digits.
        cost_usd: US dollars; ``None`` where a price is not known.
    """

    name: str
    state: Health = "healthy"
    alerts: tuple[Alert, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    stopped_by: str = ""
    error: str = ""
    iterations: int = 0
    model: str = ""
    trace_id: str = ""
    cost_usd: float | None = 0.0

    @property
    def failed(self) -> bool:
        """Whether it broke off: what it did not find says nothing then."""
        return self.stopped_by not in ("done", "max_iterations")


@dataclass(frozen=True, slots=True)
class OperatorAnswer:
    """An operator's words.

    Attributes:
        summary: In a sentence or two.
        findings: Facts.
        concerns: What it worries about.
    """

    summary: str
    findings: tuple[str, ...] = ()
    concerns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OperatorMessage:
    """What an operator answered when it was spoken to.

    Attributes:
        domain: Its name.
        state: Its assessment.
        iteration: Turns of the run in progress, 0 when it is idle.
        response: Its words.
    """

    domain: str
    state: Health
    iteration: int
    response: OperatorAnswer


@dataclass(frozen=True, slots=True)
class CoordinatorResult:
    """What a run of the Coordinator ends with.

    Attributes:
        insights: What it produced, oldest first.
        operator_results: What the operators that it asked found, in the order of their end.
        stopped_by: What ended it: ``done``, ``schedule``, or a limit such as ``max_iterations``.
        alerts: The alerts that were looked at.
        iterations: Model calls of its own.
        model: Who answered last; ``"offline"`` for the offline analyst.
        trace_id: The run, 32 hex digits.
        error: What failed on the way, where a fallback ended the run; else ``""``.
        cost_usd: US dollars of its own calls; ``None`` where a price is not known.
    """

    insights: tuple[Insight, ...] = ()
    operator_results: tuple[OperatorResult, ...] = ()
    stopped_by: str = ""
    alerts: tuple[Alert, ...] = ()
    iterations: int = 0
    model: str = ""
    trace_id: str = ""
    error: str = ""
    cost_usd: float | None = 0.0


__all__ = ["CoordinatorResult", "OperatorAnswer", "OperatorMessage", "OperatorResult"]
