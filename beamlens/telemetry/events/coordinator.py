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
    Event("coordinator.insight_failed", "An insight was refused.", metadata={"reason": str, **TRUST}),
    Event("coordinator.invoke_operators", "Operators are to look into their domains.", metadata={"operators": list}),
    Event(
        "coordinator.operator_not_started",
        "One of them does not exist, or could not be asked.",
        metadata={"operator": str, "reason": str},
    ),
    Event(
        "coordinator.operator_notification_received",
        "An operator of this run found something.",
        metadata={"operator": str, "alert": FINDING, **TRUST},
    ),
    Event(
        "coordinator.operator_complete",
        "An operator of this run has ended.",
        {"alerts": int},
        {"operator": str, "state": str},
    ),
    Event(
        "coordinator.operator_crashed",
        "An operator of this run broke off: a limit, a failed model, a crash.",
        metadata={"operator": str, "reason": str},
    ),
    Event("coordinator.message_operator", "An operator is asked a question.", metadata={"operator": str}),
    Event("coordinator.get_operator_statuses", "The operators' statuses were read.", {"count": int}),
    Event("coordinator.wait", "The model waits for operators.", {"seconds": NUMBER}),
    Event(
        "coordinator.done_rejected",
        "The model wanted to end while operators were at work.",
        {"running_operator_count": int},
    ),
    Event(
        "coordinator.max_iterations_reached",
        "A run used up its turns; operators at work are waited for.",
        {"running_operator_count": int},
        {"iteration": int},
    ),
    Event("coordinator.deadline_exceeded", "A run was ended by its deadline.", {"deadline": NUMBER}),
    Event("coordinator.cancelled", "A run was cancelled.", metadata={"reason": str}),
    Event("coordinator.caller_down", "Whoever asked for a run has ended; so does the run."),
    Event(
        "coordinator.schedule",
        "A run ended and the next one was scheduled.",
        {"seconds": NUMBER},
        {"reason": str, **TRUST},
    ),
    Event(
        "coordinator.schedule_rejected",
        "Operators were at work, or too many runs in a row had scheduled the next one.",
        {"running_operator_count": int},
    ),
    Event("coordinator.scheduled_reinvoke", "A scheduled run is due.", metadata={"reason": str, **TRUST}),
    Event("coordinator.pipeline_classify_start", "Operators are to be chosen for a question."),
    Event("coordinator.pipeline_classify_complete", "They were chosen.", metadata={"intent": str, "operators": list}),
    Event(
        "coordinator.pipeline_synthesize_start",
        "The answer is to be written from what they found.",
        {"alerts": int, "operators": int},
    ),
    Event("coordinator.pipeline_synthesize_complete", "It was."),
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
