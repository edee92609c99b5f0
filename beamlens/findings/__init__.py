"""What is found, and what it is found with: snapshots, alerts, insights; an agent's memory and its tools."""

from beamlens.findings.alert import SEVERITIES, Alert, AlertStatus, Severity
from beamlens.findings.insight import Cause, Confidence, Correlation, Insight
from beamlens.findings.investigation import Investigation
from beamlens.findings.snapshot import Snapshot
from beamlens.findings.status import AgentStatus, Health, StatusRequest, status

__all__ = [
    "SEVERITIES",
    "AgentStatus",
    "Alert",
    "AlertStatus",
    "Cause",
    "Confidence",
    "Correlation",
    "Health",
    "Insight",
    "Investigation",
    "Severity",
    "Snapshot",
    "StatusRequest",
    "status",
]
