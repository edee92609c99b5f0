"""The alerts that the Coordinator works on, with their states."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from beamlens.agent.tool import ToolError
from beamlens.findings import Alert, AlertStatus

if TYPE_CHECKING:
    from beamlens.coordinator.inbox import AlertInbox

Filter = Literal["unread", "acknowledged", "resolved", "all"]
_RESOLVED_KEPT = 200


@dataclass(slots=True)
class _Entry:
    alert: Alert
    status: AlertStatus = "unread"
    reason: str | None = None
    added: bool = False


class Board:
    """Unread, acknowledged and resolved alerts. What is resolved is acknowledged to the inbox at once.

    Alerts of watchers come from the inbox and stay until they are resolved. Those of operators, and those that a caller
    gave, are added for one run.
    """

    def __init__(self, inbox: AlertInbox) -> None:
        self._inbox = inbox
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def take(self) -> list[Alert]:
        """Take over what waits in the inbox, as unread; returns what is new."""
        alerts = self._inbox.lease()
        with self._lock:
            for alert in alerts:
                self._entries[alert.id] = _Entry(alert)
        return alerts

    def add(self, alert: Alert) -> None:
        """Add what an operator found, or a caller gave, as unread; an alert that is known stays as it is."""
        with self._lock:
            if alert.id not in self._entries:
                self._entries[alert.id] = _Entry(alert, added=True)

    def drop_added(self) -> None:
        """Forget what was added: its run is over."""
        with self._lock:
            for alert_id in [alert_id for alert_id, entry in self._entries.items() if entry.added]:
                del self._entries[alert_id]

    def select(self, status: Filter = "all") -> list[tuple[Alert, AlertStatus]]:
        """Alerts with their status, oldest first; counts and severities as they are now."""
        with self._lock:
            entries = list(self._entries.values())
        current = {alert.id: alert for alert in self._inbox.current(entry.alert.id for entry in entries)}
        return [
            (current.get(entry.alert.id, entry.alert), entry.status)
            for entry in entries
            if status in ("all", entry.status)
        ]

    def unresolved(self) -> list[Alert]:
        """The alerts that are in no insight and not resolved, oldest first."""
        return [alert for alert, status in self.select() if status != "resolved"]

    def find(self, alert_ids: Iterable[str]) -> list[Alert]:
        """The alerts of these ids.

        Raises:
            ToolError: None was given, or some do not exist; names them and those that do.
        """
        wanted = list(dict.fromkeys(alert_ids))
        known = {alert.id: alert for alert, _status in self.select()}
        if not wanted:
            raise ToolError("alert_ids is empty; get_alerts lists the alerts with their ids")
        if missing := [alert_id for alert_id in wanted if alert_id not in known]:
            have = ", ".join(alert.id for alert in self.unresolved()) or "none"
            raise ToolError(f"no alert has the id {', '.join(missing)}; unresolved alerts: {have}")
        return [known[alert_id] for alert_id in wanted]

    def update(self, alert_ids: Iterable[str], status: AlertStatus, reason: str | None) -> None:
        """Set a status. Resolved alerts stay resolved."""
        chosen = [alert.id for alert in self.find(alert_ids)]
        with self._lock:
            for alert_id in chosen:
                entry = self._entries[alert_id]
                if entry.status != "resolved":
                    entry.status, entry.reason = status, reason
        if status == "resolved":
            self._inbox.acknowledge(chosen)
            self._forget_old()

    def _forget_old(self) -> None:
        with self._lock:
            resolved = [alert_id for alert_id, entry in self._entries.items() if entry.status == "resolved"]
            for alert_id in resolved[:-_RESOLVED_KEPT]:
                del self._entries[alert_id]
