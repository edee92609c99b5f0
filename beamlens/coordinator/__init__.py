"""The Coordinator: correlates alerts into insights, and answers whoever asks."""

from beamlens.coordinator.actor import Ask, CancelRun, CoordinatorActor, Insights, RunRequest
from beamlens.coordinator.inbox import AlertInbox, InboxStats, Verdict
from beamlens.coordinator.job import Job

__all__ = [
    "AlertInbox",
    "Ask",
    "CancelRun",
    "CoordinatorActor",
    "InboxStats",
    "Insights",
    "Job",
    "RunRequest",
    "Verdict",
]
