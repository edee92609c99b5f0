"""The Coordinator's tools that read alerts and say what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from beamlens.agent import Tool, ToolError
from beamlens.coordinator.board import Board, Filter
from beamlens.coordinator.grounding import Claim, check_observations, judge
from beamlens.findings import Alert, Cause, Confidence, Correlation, Insight
from beamlens.findings.tools import Arguments, Line, Think, Word

if TYPE_CHECKING:
    from beamlens.coordinator.run import CoordinatorRun
    from beamlens.coordinator.team import Team
    from beamlens.evidence import Place


class GetAlerts(Arguments):
    """List alerts with their ids, status and evidence, oldest first."""

    status: Filter = "all"


class UpdateAlertStatuses(Arguments):
    """Set the status of alerts. Resolve those that need no insight, with the reason."""

    alert_ids: list[str]
    status: Literal["acknowledged", "resolved"]
    reason: Line | None = Field(default=None, description="Why; required to resolve.")


class ProduceInsight(Arguments):
    """Say what alerts mean together (one alone too); name the root cause only if facts carry it; resolves them."""

    alert_ids: list[str]
    correlation_type: Correlation = Field(
        description="temporal: near in time; causal: one caused another; symptomatic: a shared cause."
    )
    summary: Line = Field(description="What happened, in a sentence or two.")
    matched_observations: list[Line] = Field(
        default_factory=list, description="The facts that it rests on, quoted word for word from the alerts."
    )
    hypothesis_grounded: bool = Field(
        default=False, description="Whether two watchers or operators, or conclusive evidence, carry it."
    )
    root_cause_hypothesis: Line | None = Field(
        default=None, description="The cause; leave it out when it is not known."
    )
    cause_kind: Word | None = Field(default=None, description="The evidence's word for the cause, such as memory_leak.")
    cause_place: Line | None = Field(
        default=None, description="Where: file:line of a piece of evidence of these alerts; leave out if there is none."
    )
    ruled_out: list[Line] = Field(default_factory=list, description="Causes that the facts speak against.")
    confidence: Confidence = Field(description="high only if the evidence is conclusive and nothing speaks against it.")


class Done(Arguments):
    """End, once no operator is at work and every alert is in an insight or resolved."""


class Desk:
    """What the tools work on: one run."""

    def __init__(self, run: CoordinatorRun) -> None:
        self.run = run
        self.board: Board = run.board
        self.team: Team = run.team
        self.emit = run.emit
        self.time_left = run.time_left
        self.question = run.job.question
        self.chain = run.job.chain


def coordinator_tools(desk: Desk) -> list[Tool]:
    """get_alerts, update_alert_statuses, produce_insight, done, think."""
    return [
        Tool(
            "get_alerts", lambda a: _get_alerts(desk, a), GetAlerts, idempotent=True, trust="untrusted", source="alerts"
        ),
        Tool("update_alert_statuses", lambda a: _update(desk, a), UpdateAlertStatuses),
        Tool("produce_insight", lambda a: _produce(desk, a), ProduceInsight),
        Tool("think", lambda a: _think(desk, a), Think, idempotent=True),
        Tool("done", lambda _a: _done(desk), Done, ends_run=True),
    ]


def view(alert: Alert, status: str) -> dict[str, Any]:
    """An alert as the model reads it: without snapshots, evidence in short."""
    fields = {
        "id",
        "watcher",
        "anomaly_type",
        "severity",
        "context",
        "observation",
        "hypothesis",
        "detected_at",
        "count",
        "numbers_verified",
    }
    evidence = [
        {
            "text": piece.text,
            "cause": piece.cause,
            "strength": piece.strength.value,
            "place": str_place(piece.place),
        }
        for piece in alert.evidence
    ]
    return {**alert.model_dump(mode="json", include=fields), "status": status, "evidence": evidence}


def str_place(place: Place | None) -> str | None:
    """``file:line``, as ``cause_place`` takes it."""
    return None if place is None else f"{place.file}:{place.line}"


def _get_alerts(desk: Desk, arguments: GetAlerts) -> list[dict[str, Any]]:
    found = desk.board.select(arguments.status)
    desk.emit("get_alerts", status=arguments.status, count=len(found))
    return [view(alert, status) for alert, status in found]


def _update(desk: Desk, arguments: UpdateAlertStatuses) -> dict[str, Any]:
    if arguments.status == "resolved" and not arguments.reason:
        raise ToolError("give the reason for resolving alerts without an insight")
    desk.board.update(arguments.alert_ids, arguments.status, arguments.reason)
    ids = list(arguments.alert_ids)
    desk.emit("update_alert_statuses", alert_ids=ids, status=arguments.status, reason=arguments.reason)
    return {"updated": ids, "status": arguments.status}


def _produce(desk: Desk, arguments: ProduceInsight) -> dict[str, Any]:
    try:
        insight, claim = _make_insight(desk, arguments)
    except ToolError as refusal:
        desk.emit("insight_failed", reason=str(refusal), trust="untrusted")
        raise
    desk.run.keep(insight)
    told: dict[str, Any] = {"insight_produced": insight.id}
    if claim.changed:
        told["changed"] = list(claim.changed)
    return told


def _make_insight(desk: Desk, arguments: ProduceInsight) -> tuple[Insight, Claim]:
    alerts = desk.board.find(arguments.alert_ids)
    check_observations(arguments.matched_observations, alerts)
    claim = judge(
        alerts,
        grounded=arguments.hypothesis_grounded,
        cause=arguments.root_cause_hypothesis is not None,
        cause_kind=arguments.cause_kind,
        confidence=arguments.confidence,
    )
    insight = Insight(
        alert_ids=tuple(alert.id for alert in alerts),
        correlation_type=arguments.correlation_type,
        summary=arguments.summary,
        matched_observations=tuple(arguments.matched_observations),
        hypothesis_grounded=claim.grounded,
        root_cause_hypothesis=arguments.root_cause_hypothesis,
        cause=_cause(alerts, arguments),
        ruled_out=tuple(arguments.ruled_out),
        confidence=claim.confidence,
        trace_id=desk.run.trace_id,
        model=desk.run.model,
    )
    return insight, claim


def _cause(alerts: list[Alert], arguments: ProduceInsight) -> Cause | None:
    if arguments.cause_kind is None or arguments.root_cause_hypothesis is None:
        if arguments.cause_place is not None or arguments.cause_kind is not None:
            raise ToolError("cause_kind and cause_place belong to a root_cause_hypothesis; give all or leave all out")
        return None
    pieces = [piece for alert in alerts for piece in alert.evidence if piece.strength != "excludes"]
    place: Place | None = None
    if arguments.cause_place is not None:
        places = {str_place(piece.place): piece.place for piece in pieces if piece.place is not None}
        if arguments.cause_place not in places:
            have = ", ".join(sorted(str(name) for name in places)) or "none; leave cause_place out"
            raise ToolError("cause_place is in no evidence of these alerts; places: ", have)
        place = places[arguments.cause_place]
    return Cause(kind=arguments.cause_kind, place=place, text=arguments.root_cause_hypothesis)


def _think(desk: Desk, arguments: Think) -> dict[str, Any]:
    desk.emit("think", thought=arguments.thought)
    return {"recorded": True}  # not the thought again: it may quote text from outside


def _done(desk: Desk) -> dict[str, Any]:
    at_work = list(desk.team.running())
    if at_work:
        desk.emit("done_rejected", {"running_operator_count": len(at_work)})
        raise ToolError(
            f"{len(at_work)} operators are at work: {', '.join(at_work)}. wait for them, or see get_operator_statuses"
        )
    left = desk.board.unresolved()
    # Who was asked may end with alerts left: a later run takes them up. Alerts alone end in insights.
    if left and not desk.run.job.asked:
        ids = ", ".join(alert.id for alert in left)
        raise ToolError(f"{len(left)} alerts are in no insight and not resolved: {ids}")
    desk.emit("done", {"unread_count": len(left)}, has_unread=bool(left))
    return {"done": True, "unread": len(left)}
