"""The Coordinator."""

from __future__ import annotations

from beamlens.telemetry.events.event import FINDING, INSIGHT, NUMBER, TEXT_OR_NONE, TRUST, Event

EVENTS: tuple[Event, ...] = (
    Event("coordinator.started", "The actor runs.", {"queued": int}),
    Event("coordinator.alert_received", "An alert is to be correlated.", metadata={"alert": FINDING, **TRUST}),
    Event("coordinator.iteration_start", "A turn of the loop begins.", metadata={"iteration": int}),
    Event("coordinator.get_alerts", "Alerts were read.", metadata={"status": str, "count": int}),
    Event(
        "coordinator.update_alert_statuses",
        "Alerts were acknowledged or resolved.",
        metadata={"alert_ids": list, "status": str, "reason": TEXT_OR_NONE},
    ),
    Event("coordinator.insight_produced", "Alerts were correlated.", metadata={"insight": INSIGHT, **TRUST}),
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
        {"duration": NUMBER, "iterations": int},
        {"stopped_by": str},
    ),
    Event("coordinator.unexpected_message", "A message that it does not know.", metadata={"message": str}),
)
