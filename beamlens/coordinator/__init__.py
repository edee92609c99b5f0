"""The Coordinator: correlates alerts into insights."""

from beamlens.coordinator.actor import CoordinatorActor, Insights, RunRequest
from beamlens.coordinator.inbox import AlertInbox, InboxStats, Verdict

__all__ = ["AlertInbox", "CoordinatorActor", "InboxStats", "Insights", "RunRequest", "Verdict"]
