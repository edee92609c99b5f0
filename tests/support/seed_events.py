"""The telemetry events that the documents of the Elixir system name, and what they are called here.

From seed 000 (the list of events), seeds 001 and 002, and spec/beamlens.md section 7: the list of the first generation,
the 55 names of the fourth, those that are emitted and not listed there, and one that is only documented.
"""

from __future__ import annotations

_OPERATOR = (
    "started", "iteration_start", "state_change", "take_snapshot", "get_snapshot", "get_snapshots", "execute_start",
    "execute_complete", "execute_error", "think", "llm_error", "unexpected_message",
)  # fmt: skip
_COORDINATOR = (
    "started", "iteration_start", "insight_produced", "done", "llm_error", "unexpected_message", "think",
)  # fmt: skip
_COORDINATOR_ASKED = (
    "invoke_operators", "message_operator", "get_operator_statuses", "wait", "operator_notification_received",
    "operator_complete", "operator_crashed", "max_iterations_reached", "deadline_exceeded", "caller_down", "cancelled",
    "schedule", "schedule_rejected", "scheduled_reinvoke", "pipeline_classify_start", "pipeline_classify_complete",
    "pipeline_synthesize_start", "pipeline_synthesize_complete", "done_rejected",
)  # fmt: skip
_DETECTOR = (
    "metric_collection_failed", "learning_complete", "anomaly_detected", "escalation", "trigger_rate_limited",
    "auto_trigger_started", "auto_trigger_failed", "cooldown_started", "cooldown_complete",
)  # fmt: skip


def _same(prefix: str, names: tuple[str, ...]) -> dict[str, str]:
    return {f"{prefix}.{name}": f"{prefix}.{name}" for name in names}


SEED_EVENTS: dict[str, str] = {
    **_same("llm", ("start", "stop", "exception")),
    **_same("tool", ("start", "stop", "exception")),
    **_same("compaction", ("start", "stop")),
    **_same("watcher", (*_OPERATOR, "alert_fired", "alert_failed", "get_alerts", "wait")),
    "watcher.loop_stopped": "watcher.run_stopped",
    **_same("operator", (*_OPERATOR, "notification_sent", "notification_failed", "wait", "done", "status_change")),
    "operator.get_notifications": "operator.get_alerts",
    "operator.loop_stopped": "operator.run_stopped",
    "operator_supervisor.skill_resolution_failed": "coordinator.operator_not_started",
    **_same("coordinator", (*_COORDINATOR, *_COORDINATOR_ASKED)),
    **_same("coordinator", ("alert_received", "get_alerts", "update_alert_statuses")),
    "coordinator.get_notifications": "coordinator.get_alerts",
    "coordinator.update_notification_statuses": "coordinator.update_alert_statuses",
    "coordinator.notification_received": "coordinator.operator_notification_received",
    "coordinator.loop_stopped": "coordinator.run_stopped",
    "coordinator.operator_not_found": "coordinator.operator_not_started",
    # A tool that does not exist, or whose arguments are wrong, is an error of that call.
    "coordinator.invalid_intent": "agent_core.tool_task.error",
    **_same("anomaly.detector", _DETECTOR),
    # A baseline that cannot be calculated is one that is not told as learnt; what a domain cannot say is told.
    "anomaly.detector.baseline_calculation_failed": "anomaly.detector.metric_collection_failed",
    "anomaly.baseline_store.dets_open_failed": "anomaly.baseline_store.unusable",
    "anomaly.baseline_store.dets_insert_failed": "anomaly.baseline_store.unusable",
    "anomaly.baseline_store.dets_delete_failed": "anomaly.baseline_store.unusable",
}
"""The seed's name, dotted and without ``beamlens``, to ours."""

SEED_METADATA: dict[str, tuple[str, ...]] = {
    "llm.start": ("iteration", "context_size"),
    "llm.stop": ("iteration", "tools_selected", "response"),
    "llm.exception": ("iteration", "kind", "reason"),
    "tool.start": ("iteration", "tool_name"),
    "tool.stop": ("iteration", "tool_name"),
    "tool.exception": ("iteration", "tool_name", "reason"),
    "watcher.iteration_start": ("iteration", "watcher_state"),
    "watcher.state_change": ("from_state", "to_state", "reason"),
    "watcher.alert_fired": ("alert",),
    "watcher.alert_failed": ("reason",),
    "watcher.execute_start": ("code",),
    "watcher.execute_complete": ("code", "result"),
    "watcher.execute_error": ("code", "reason"),
    "watcher.llm_error": ("reason", "retry_count", "will_retry"),
    "watcher.think": ("thought",),
    "operator.iteration_start": ("iteration", "operator_state"),
    "operator.notification_sent": ("notification",),
    "operator.status_change": ("from_status", "to_status"),
    "coordinator.insight_produced": ("insight",),
    "coordinator.done": ("has_unread",),
    "coordinator.schedule": ("reason",),
    "coordinator.scheduled_reinvoke": ("reason",),
    "compaction.start": ("iteration",),
}
"""Our name to the metadata of the seed's event, as it is called here."""

TIMED = ("llm.stop", "llm.exception", "tool.stop", "tool.exception", "compaction.stop", "compaction.exception",
         "watcher.run_stopped", "operator.run_stopped", "coordinator.run_stopped", "agent_core.loop.end",
         "watcher.execute_complete", "watcher.execute_error")  # fmt: skip
"""Ends of something that began: each carries its duration."""
