"""Watchers and operators."""

from __future__ import annotations

from beamlens.telemetry.events.event import FINDING, NUMBER, TRUST, Event


def _shared(kind: str) -> tuple[Event, ...]:
    """The events of the tools that watchers and operators share."""
    return (
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
            {"duration": NUMBER},
            {"code": str, "result": object, **TRUST},
        ),
        Event(f"{kind}.execute_error", "Lua code failed.", {"duration": NUMBER}, {"code": str, "reason": str, **TRUST}),
        Event(f"{kind}.think", "The model noted a thought.", metadata={"thought": str}),
        Event(
            f"{kind}.llm_error",
            "A model call failed for good or is tried again.",
            metadata={"reason": str, "retry_count": int, "will_retry": bool},
        ),
        Event(
            f"{kind}.run_stopped",
            "A run ended; stopped_by says which limit or tool ended it.",
            {"duration": NUMBER, "iterations": int},
            {"stopped_by": str},
        ),
        Event(f"{kind}.unexpected_message", "A message that it does not know.", metadata={"message": str}),
        Event(f"{kind}.stopped", "The actor ended.", metadata={"reason": str}),
        Event(f"{kind}.evidence_failed", "A closer look failed.", metadata={"sensor": str, "reason": str, **TRUST}),
        Event(f"{kind}.sensor_failed", "Reading the sensors failed.", metadata={"reason": str, **TRUST}),
    )


EVENTS: tuple[Event, ...] = (
    *_shared("watcher"),
    Event("watcher.alert_failed", "A finding was refused.", metadata={"reason": str}),
    Event(
        "watcher.look_started",
        "A look begins; model is who is to answer.",
        metadata={"reason": str, "model": str, **TRUST},
    ),
    Event(
        "watcher.taken_over",
        "The model came to no end, or its run broke off: the offline analyst looks in its place. Where only its calls "
        "failed, llm_error with will_retry False says so.",
        metadata={"stopped_by": str, "reason": str},
    ),
    Event("watcher.alert_fired", "A watcher found something.", metadata={"alert": FINDING, **TRUST}),
    Event(
        "watcher.alert_merged",
        "The same was found again: the count of the earlier alert went up.",
        {"count": int},
        {"alert": FINDING, **TRUST},
    ),
    Event("watcher.alert_dropped", "The inbox was full.", metadata={"alert": FINDING, "reason": str, **TRUST}),
    Event("watcher.wait", "The watcher sleeps, its sensors awake.", {"seconds": NUMBER}, {"reason": str}),
    Event("watcher.woken", "A sensor ended the wait.", metadata={"reason": str, **TRUST}),
    Event(
        "watcher.sensor_active",
        "A streaming detector fired.",
        {"value": NUMBER},
        {"sensor": str, "severity": str, "reason": str, **TRUST},
    ),
    Event("watcher.sensor_cleared", "A detector is quiet again.", metadata={"sensor": str}),
    *_shared("operator"),
    Event("operator.status_change", "Idle or running.", metadata={"from_status": str, "to_status": str}),
    Event("operator.notification_sent", "A run found something.", metadata={"notification": FINDING, **TRUST}),
    Event("operator.notification_failed", "A finding was refused.", metadata={"reason": str}),
    Event(
        "operator.wait",
        "A run waits before it looks again; an active sensor ends it early.",
        {"seconds": NUMBER},
    ),
    Event(
        "operator.done",
        "A run finished by itself; the summary is the model's.",
        {"count": int},
        {"summary": str, **TRUST},
    ),
    Event("operator.notify_failed", "What notify= gave raised.", metadata={"reason": str, **TRUST}),
    Event("operator.max_iterations_reached", "A run ended without done.", {"iterations": int}),
    Event(
        "operator.run_ended",
        "Whoever asked was answered; error is empty for a result.",
        {"count": int, "iterations": int, "duration": NUMBER},
        {"run_id": str, "stopped_by": str, "state": str, "error": str, **TRUST},
    ),
)
