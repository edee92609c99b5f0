"""The `anomaly` domain."""

from __future__ import annotations

from beamlens.telemetry.events.event import NUMBER, TRUST, Event

_DETECTOR = "anomaly.detector"

EVENTS: tuple[Event, ...] = (
    Event(
        f"{_DETECTOR}.metric_collection_failed",
        "A domain raised or hung; the others were collected. Empty: which domains there are could not be said.",
        metadata={"domain": str, "reason": str, **TRUST},
    ),
    Event(f"{_DETECTOR}.learning_complete", "From now on metrics are judged.", {"elapsed_ms": NUMBER}),
    Event(
        f"{_DETECTOR}.anomaly_detected",
        "A metric left its baseline; once each time. Whether it lasts is not known yet.",
        {"value": NUMBER, "usual": NUMBER, "score": NUMBER},
        {"domain": str, "metric": str, "severity": str, **TRUST},
    ),
    Event(
        f"{_DETECTOR}.escalation",
        "Metrics are away from their baselines in as many collections in a row as are required.",
        {"anomaly_count": int},
        {"anomalies": str, "severity": str, **TRUST},
    ),
    Event(
        f"{_DETECTOR}.run_requested",
        "An escalation asks for a run of the Coordinator.",
        metadata={"reason": str, "anomalies": str, **TRUST},
    ),
    Event(
        f"{_DETECTOR}.auto_trigger_started",
        "The Coordinator was told.",
        metadata={"anomaly_summary": str, **TRUST},
    ),
    Event(f"{_DETECTOR}.auto_trigger_failed", "The Coordinator could not be told.", metadata={"reason": str}),
    Event(
        f"{_DETECTOR}.trigger_rate_limited",
        "No run is asked for: there were too many in the hour before.",
        {"triggers_in_last_hour": int},
    ),
    Event(f"{_DETECTOR}.cooldown_started", "No escalation for a while.", {"cooldown_ms": NUMBER}),
    Event(f"{_DETECTOR}.cooldown_complete", "The while is over."),
    Event(
        "anomaly.baseline_store.unusable",
        "The file of what is usual cannot be read or written. Once until it can be again.",
        metadata={"path": str, "reason": str},
    ),
)
