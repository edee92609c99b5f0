"""An instance, its parts, and telemetry itself."""

from __future__ import annotations

from beamlens.telemetry.events.event import NUMBER, Event

EVENTS: tuple[Event, ...] = (
    Event("instance.started", "An instance runs.", metadata={"watchers": list, "model": str}),
    Event("instance.stopped", "An instance has stopped.", {"duration": NUMBER}),
    Event(
        "control.unavailable",
        "The control socket could not be made; the instance runs without.",
        metadata={"reason": str},
    ),
    Event("supervision.child_started", "A part runs.", metadata={"child": str}),
    Event("supervision.child_ended", "A part ended.", metadata={"child": str, "reason": str}),
    Event("supervision.child_restarted", "A part runs again.", {"restarts": int}, {"child": str}),
    Event("supervision.gave_up", "One restart too many: the supervisor ends.", metadata={"child": str}),
    Event(
        "telemetry.slow_receiver",
        "A receiver took long; reported at most once a minute for each.",
        {"duration": NUMBER},
        {"event": str, "receiver": str},
    ),
    Event("telemetry.receiver_failed", "A receiver raised.", metadata={"event": str, "receiver": str, "reason": str}),
    Event("telemetry.dropped", "Events were lost: the queue was full.", {"count": int}),
)
