"""The catalogue: every event that Beamlens emits, with its measurements and metadata.

An event ``watcher.alert_fired`` is the blinker signal ``beamlens.watcher.alert_fired``. Receivers are called with the
component's name as sender and the keywords ``measurements`` (a dict of numbers) and the event's metadata. Every event
carries ``instance``, the name of the Beamlens instance; inside an agent run also ``trace_id``, 32 hex digits. Where
text from the watched process passes (results, reasons, alerts, insights), ``trust`` is ``untrusted``: show it as data,
never follow it, and fence it before it enters a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Types = type | tuple[type, ...]

_NONE = type(None)
_NUMBER: Types = (int, float)
_TEXT_OR_NONE: Types = (str, _NONE)

COMMON: Mapping[str, Types] = {"instance": str}
OPTIONAL: Mapping[str, Types] = {"trace_id": str}

# Whose words an event holds: ``untrusted`` when text from the watched process may be among them, else ``trusted``.
_TRUST: Mapping[str, Types] = {"trust": str}


class UndeclaredEvent(TypeError):  # noqa: N818 - as the other errors are named
    """An emission that the catalogue does not know, or of other shape. Raised in tests only."""


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event.

    Attributes:
        name: Dotted name without the ``beamlens.`` prefix.
        doc: When it is emitted.
        measurements: Name to type of each number; ``system_time`` is seconds since the epoch, ``duration`` seconds.
        metadata: Name to type of each keyword, besides ``instance`` and ``trace_id``.
    """

    name: str
    doc: str
    measurements: Mapping[str, Types] = field(default_factory=dict)
    metadata: Mapping[str, Types] = field(default_factory=dict)

    def check(self, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Compare an emission with its entry.

        Raises:
            UndeclaredEvent: A name is missing, surplus, or of another type.
        """
        _compare(self.name, "measurement", {"system_time": _NUMBER, **self.measurements}, {}, measurements)
        _compare(self.name, "metadata", {**COMMON, **self.metadata}, OPTIONAL, metadata)


def _compare(
    event: str, what: str, declared: Mapping[str, Types], optional: Mapping[str, Types], given: Mapping[str, Any]
) -> None:
    if missing := declared.keys() - given.keys():
        raise UndeclaredEvent(f"{event}: {what} {', '.join(sorted(missing))} is missing")
    known = {**declared, **optional}
    if surplus := given.keys() - known.keys():
        raise UndeclaredEvent(f"{event}: {what} {', '.join(sorted(surplus))} is not declared")
    for name, value in given.items():
        if not isinstance(value, known[name]):
            raise UndeclaredEvent(f"{event}: {what} {name} is {type(value).__name__}, declared {known[name]}")


def _agent_events(kind: str) -> list[Event]:
    """The events of the tools that watchers and operators share."""
    return [
        Event(f"{kind}.started", "The actor runs."),
        Event(
            f"{kind}.iteration_start",
            "A turn of the loop begins.",
            metadata={"iteration": int, f"{kind}_state": str},
        ),
        Event(
            f"{kind}.state_change",
            "The health changed.",
            metadata={"from_state": str, "to_state": str, "reason": str},
        ),
        Event(f"{kind}.get_alerts", "Earlier alerts were read.", metadata={"count": int}),
        Event(f"{kind}.take_snapshot", "A snapshot was taken.", metadata={"snapshot_id": str}),
        Event(f"{kind}.get_snapshot", "A snapshot was read.", metadata={"snapshot_id": str}),
        Event(f"{kind}.get_snapshots", "Snapshots were listed.", metadata={"count": int}),
        Event(f"{kind}.execute_start", "Lua code begins.", metadata={"code": str}),
        Event(
            f"{kind}.execute_complete",
            "Lua code ended.",
            {"duration": _NUMBER},
            {"code": str, "result": object, **_TRUST},
        ),
        Event(
            f"{kind}.execute_error", "Lua code failed.", {"duration": _NUMBER}, {"code": str, "reason": str, **_TRUST}
        ),
        Event(f"{kind}.think", "The model noted a thought.", metadata={"thought": str}),
        Event(
            f"{kind}.llm_error",
            "A model call failed for good or is tried again.",
            metadata={"reason": str, "retry_count": int, "will_retry": bool},
        ),
        Event(
            f"{kind}.run_stopped",
            "A run ended; stopped_by says which limit or tool ended it.",
            {"duration": _NUMBER, "iterations": int},
            {"stopped_by": str},
        ),
        Event(f"{kind}.unexpected_message", "A message that it does not know.", metadata={"message": str}),
        Event(f"{kind}.alert_failed", "A finding was refused.", metadata={"reason": str}),
    ]


def _agent_core_events() -> list[Event]:
    """The events of seed 003 that every agent has."""
    call = {"tool_name": str, "tool_call_id": str}
    subagent = {"session_id": str, "role": str, "index": int}
    return [
        Event(
            "agent_core.loop.start",
            "An agent loop started.",
            {"prompt_count": int, "message_count": int, "tool_count": int},
            {"run_id": str, "model": str},
        ),
        Event(
            "agent_core.loop.end",
            "An agent loop ended; status is what stopped it.",
            {"duration": _NUMBER, "message_count": int},
            {"run_id": str, "model": str, "status": str},
        ),
        Event(
            "agent_core.loop.state_transition",
            "An agent loop went to another phase; from_state is empty for the first.",
            metadata={"run_id": str, "from_state": str, "to_state": str},
        ),
        Event("agent_core.tool_task.start", "A tool call was dispatched.", metadata=call),
        Event("agent_core.tool_task.retry", "An idempotent tool is tried again.", {"attempt": int}, call),
        Event("agent_core.tool_task.end", "A tool answered.", metadata={**call, "is_error": bool, **_TRUST}),
        Event(
            "agent_core.tool_task.error",
            "A tool did not answer; reason is the kind of its error. Without a start when aborted while it waited.",
            metadata={**call, "reason": str, **_TRUST},
        ),
        Event(
            "agent_core.tool_result.emit",
            "A tool call has its one result.",
            metadata={**call, "is_error": bool, **_TRUST},
        ),
        Event(
            "agent_core.tool_call.name_normalized",
            "The model wrote a tool's name with other white space.",
            metadata={"original_name": str, "matched_tool_name": str},
        ),
        Event("agent_core.subagent.spawn", "A subagent runs.", metadata=subagent),
        Event(
            "agent_core.subagent.end",
            "A subagent has ended, in whatever way.",
            {"duration": _NUMBER},
            {**subagent, "reason": str},
        ),
        Event(
            "agent_core.session.start",
            "A session runs. journal is its file; empty for one in memory.",
            metadata={"session_id": str, "model": str, "journal": str},
        ),
        Event(
            "agent_core.session.restored",
            "A session of an earlier process goes on, after its start; note says what was half written.",
            {"messages": int, "repaired_calls": int, "torn_bytes": int},
            {"session_id": str, "note": str},
        ),
        Event(
            "agent_core.session.restart",
            "A session crashed and goes on with its conversation.",
            {"restarts": int, "messages": int},
            {"session_id": str},
        ),
        Event(
            "agent_core.session.gave_up",
            "A session crashes too often, or cannot be started again; its end follows.",
            {"restarts": int},
            {"session_id": str, "reason": str},
        ),
        Event(
            "agent_core.session.end",
            "A session has ended for good.",
            {"duration": _NUMBER},
            {"session_id": str, "reason": str},
        ),
        Event(
            "agent_core.journal.failed",
            "A session's journal cannot be written: it goes on in memory.",
            {"unwritten": int},
            {"session_id": str, "reason": str},
        ),
        Event(
            "agent_core.journal.resumed",
            "What had to wait is written; reason is why it had to.",
            {"unwritten": int},
            {"session_id": str, "reason": str},
        ),
        Event(
            "agent_core.event_stream.queue_depth",
            "Events of a run that wait for whoever reads them, at the end of each turn.",
            {"depth": int, "max_queue": int, "dropped": int},
            {"run_id": str},
        ),
        Event(
            "agent.llm_error",
            "A model call of a user's agent failed for good or is tried again.",
            metadata={"reason": str, "retry_count": int, "will_retry": bool},
        ),
        Event(
            "agent.run_stopped",
            "A run of a user's agent ended; stopped_by says what ended it.",
            {"duration": _NUMBER, "iterations": int},
            {"stopped_by": str},
        ),
        Event(
            "budget.exhausted",
            "A limit of the budget is reached: the offline analyst takes over. Once each time that it runs out.",
            {"spent": _NUMBER, "bound": _NUMBER},
            {"limit": str},
        ),
        Event(
            "budget.file_unusable",
            "The budget's file cannot be read or written; reason says why. Once until it can be again.",
            metadata={"path": str, "reason": str},
        ),
    ]


def _anomaly_events() -> list[Event]:
    """The events of the `anomaly` domain."""
    detector = "anomaly.detector"
    return [
        Event(
            f"{detector}.metric_collection_failed",
            "A domain raised or hung; the others were collected. Empty: which domains there are could not be said.",
            metadata={"domain": str, "reason": str, **_TRUST},
        ),
        Event(f"{detector}.learning_complete", "From now on metrics are judged.", {"elapsed_ms": _NUMBER}),
        Event(
            f"{detector}.anomaly_detected",
            "A metric left its baseline; once each time. Whether it lasts is not known yet.",
            {"value": _NUMBER, "usual": _NUMBER, "score": _NUMBER},
            {"domain": str, "metric": str, "severity": str, **_TRUST},
        ),
        Event(
            f"{detector}.escalation",
            "Metrics are away from their baselines in as many collections in a row as are required.",
            {"anomaly_count": int},
            {"anomalies": str, "severity": str, **_TRUST},
        ),
        Event(
            f"{detector}.run_requested",
            "An escalation asks for a run of the Coordinator.",
            metadata={"reason": str, "anomalies": str, **_TRUST},
        ),
        Event(
            f"{detector}.auto_trigger_started",
            "The Coordinator was told.",
            metadata={"anomaly_summary": str, **_TRUST},
        ),
        Event(f"{detector}.auto_trigger_failed", "The Coordinator could not be told.", metadata={"reason": str}),
        Event(
            f"{detector}.trigger_rate_limited",
            "No run is asked for: there were too many in the hour before.",
            {"triggers_in_last_hour": int},
        ),
        Event(f"{detector}.cooldown_started", "No escalation for a while.", {"cooldown_ms": _NUMBER}),
        Event(f"{detector}.cooldown_complete", "The while is over."),
        Event(
            "anomaly.baseline_store.unusable",
            "The file of what is usual cannot be read or written. Once until it can be again.",
            metadata={"path": str, "reason": str},
        ),
    ]


def _catalogue() -> list[Event]:
    # An Alert and an Insight: their models lie above this layer, so they are declared as objects here.
    finding, insight = object, object
    return [
        Event("instance.started", "An instance runs.", metadata={"watchers": list, "model": str}),
        Event("instance.stopped", "An instance has stopped.", {"duration": _NUMBER}),
        Event(
            "control.unavailable",
            "The control socket could not be made; the instance runs without.",
            metadata={"reason": str},
        ),
        Event(
            "llm.start",
            "A model is called.",
            metadata={"agent": str, "model": str, "iteration": int, "context_size": int},
        ),
        Event(
            "llm.stop",
            "A model has answered. cost_usd is None where the price is not known.",
            {
                "duration": _NUMBER,
                "input_tokens": int,
                "output_tokens": int,
                "cache_read_tokens": int,
                "cache_write_tokens": int,
                "cost_usd": (int, float, _NONE),
            },
            {
                "agent": str,
                "model": str,
                "iteration": int,
                "stop_reason": str,
                "tools_selected": list,
                "response": str,
            },
        ),
        Event(
            "compaction.start",
            "A conversation has become too large, and its older part is being summarised.",
            {"message_count": int, "context_tokens": int},
            {"agent": str, "iteration": int},
        ),
        Event(
            "compaction.stop",
            "It goes on with the summary. The numbers are those of now; as before where nothing could be summarised.",
            {"message_count": int, "context_tokens": int, "duration": _NUMBER},
            {"agent": str, "iteration": int},
        ),
        Event(
            "compaction.exception",
            "There is no summary; the conversation stays as it is.",
            {"duration": _NUMBER},
            {"agent": str, "iteration": int, "reason": str},
        ),
        Event(
            "llm.exception",
            "A model call failed.",
            {"duration": _NUMBER},
            {"agent": str, "model": str, "iteration": int, "kind": str, "reason": str},
        ),
        Event("ai.dispatcher.dispatch", "A call of a provider is to be made.", metadata={"provider": str}),
        Event(
            "ai.dispatcher.rejected",
            "A call was not made: circuit_open, rate_limited, max_concurrency or queue_full.",
            {"duration": _NUMBER, "retry_after": (int, float, _NONE)},
            {"provider": str, "reason": str},
        ),
        Event(
            "ai.dispatcher.queue_depth",
            "A call waits, begins or has ended: how many are under way, how many wait, how many may be under way.",
            {"active": int, "waiting": int, "cap": int},
            {"provider": str},
        ),
        Event(
            "ai.circuit_breaker.opened",
            "A provider failed too often in a row: it is not called for a while.",
            {"failure_count": int, "failure_threshold": int},
            {"provider": str},
        ),
        Event(
            "ai.circuit_breaker.half_opened",
            "The while is over: one call finds out.",
            {"recovery": _NUMBER},
            {"provider": str},
        ),
        Event("ai.circuit_breaker.closed", "The provider works again.", metadata={"provider": str}),
        Event(
            "ai.circuit_breaker.reopened",
            "The call that was to find out failed.",
            {"recovery": _NUMBER},
            {"provider": str},
        ),
        Event(
            "ai.fallback.switched",
            "A client failed and the next one of its fallback is asked.",
            metadata={"provider": str, "failed": str, "next": str, "reason": str},
        ),
        Event(
            "tool.start", "A tool begins.", metadata={"agent": str, "iteration": int, "tool_name": str, "call_id": str}
        ),
        Event(
            "tool.stop",
            "A tool ended; is_error when its answer is an error for the model.",
            {"duration": _NUMBER},
            {"agent": str, "iteration": int, "tool_name": str, "call_id": str, "is_error": bool, **_TRUST},
        ),
        Event(
            "tool.exception",
            "A tool crashed or took too long; the model got an error.",
            {"duration": _NUMBER},
            {"agent": str, "iteration": int, "tool_name": str, "call_id": str, "reason": str, **_TRUST},
        ),
        *_agent_core_events(),
        *_anomaly_events(),
        *_agent_events("watcher"),
        Event("watcher.stopped", "The actor ended.", metadata={"reason": str}),
        Event("watcher.alert_fired", "A watcher found something.", metadata={"alert": finding, **_TRUST}),
        Event(
            "watcher.alert_merged",
            "The same was found again: the count of the earlier alert went up.",
            {"count": int},
            {"alert": finding, **_TRUST},
        ),
        Event("watcher.alert_dropped", "The inbox was full.", metadata={"alert": finding, "reason": str, **_TRUST}),
        Event("watcher.wait", "The watcher sleeps, its sensors awake.", {"seconds": _NUMBER}, {"reason": str}),
        Event("watcher.woken", "A wait ended.", metadata={"reason": str}),
        Event(
            "watcher.sensor_active",
            "A streaming detector fired.",
            {"value": _NUMBER},
            {"sensor": str, "severity": str, "reason": str, **_TRUST},
        ),
        Event("watcher.sensor_cleared", "A detector is quiet again.", metadata={"sensor": str}),
        Event("watcher.sensor_failed", "Reading the sensors failed.", metadata={"reason": str, **_TRUST}),
        Event("watcher.evidence_failed", "A closer look failed.", metadata={"sensor": str, "reason": str, **_TRUST}),
        *_agent_events("operator"),
        Event("operator.status_change", "Idle or running.", metadata={"from_status": str, "to_status": str}),
        Event("operator.notification_sent", "A run found something.", metadata={"notification": finding, **_TRUST}),
        Event("operator.done", "A run finished by itself.", metadata={"count": int}),
        Event("coordinator.started", "The actor runs.", {"queued": int}),
        Event("coordinator.alert_received", "An alert is to be correlated.", metadata={"alert": finding, **_TRUST}),
        Event("coordinator.iteration_start", "A turn of the loop begins.", metadata={"iteration": int}),
        Event("coordinator.get_alerts", "Alerts were read.", metadata={"status": str, "count": int}),
        Event(
            "coordinator.update_alert_statuses",
            "Alerts were acknowledged or resolved.",
            metadata={"alert_ids": list, "status": str, "reason": _TEXT_OR_NONE},
        ),
        Event("coordinator.insight_produced", "Alerts were correlated.", metadata={"insight": insight, **_TRUST}),
        Event("coordinator.insight_failed", "An insight was refused.", metadata={"reason": str}),
        Event("coordinator.think", "The model noted a thought.", metadata={"thought": str}),
        Event("coordinator.done", "A run finished by itself.", {"unread_count": int}, {"has_unread": bool}),
        Event(
            "coordinator.llm_error",
            "A model call failed for good or is tried again.",
            metadata={"reason": str, "retry_count": int, "will_retry": bool},
        ),
        Event(
            "coordinator.run_stopped",
            "A run ended; stopped_by says which limit or tool ended it.",
            {"duration": _NUMBER, "iterations": int},
            {"stopped_by": str},
        ),
        Event("coordinator.unexpected_message", "A message that it does not know.", metadata={"message": str}),
        Event("supervision.child_started", "A part runs.", metadata={"child": str}),
        Event("supervision.child_ended", "A part ended.", metadata={"child": str, "reason": str}),
        Event("supervision.child_restarted", "A part runs again.", {"restarts": int}, {"child": str}),
        Event("supervision.gave_up", "One restart too many: the supervisor ends.", metadata={"child": str}),
        Event(
            "telemetry.slow_receiver",
            "A receiver took long; reported at most once a minute for each.",
            {"duration": _NUMBER},
            {"event": str, "receiver": str},
        ),
        Event(
            "telemetry.receiver_failed", "A receiver raised.", metadata={"event": str, "receiver": str, "reason": str}
        ),
        Event("telemetry.dropped", "Events were lost: the queue was full.", {"count": int}),
    ]


_by_name: dict[str, Event] = {}


def catalogue() -> Mapping[str, Event]:
    """Name to entry of every event."""
    if not _by_name:
        _by_name.update((event.name, event) for event in _catalogue())
    return _by_name


def check(name: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Compare an emission with the catalogue.

    Raises:
        UndeclaredEvent: The event is not in the catalogue, or has another shape.
    """
    event = catalogue().get(name)
    if event is None:
        raise UndeclaredEvent(f"{name} is not in the catalogue")
    event.check(measurements, metadata)
