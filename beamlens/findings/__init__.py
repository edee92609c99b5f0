"""What is found, and what it is found with: snapshots, alerts, insights; an agent's memory and its tools."""

from beamlens.findings.alert import SEVERITIES, Alert, AlertStatus, Severity
from beamlens.findings.insight import Cause, Confidence, Correlation, Insight
from beamlens.findings.investigation import Investigation
from beamlens.findings.results import CoordinatorResult, OperatorAnswer, OperatorMessage, OperatorResult
from beamlens.findings.run_handle import RunHandle
from beamlens.findings.snapshot import Snapshot
from beamlens.findings.status import AgentStatus, Health, StatusRequest, status

__all__ = [
    "SEVERITIES",
    "AgentStatus",
    "Alert",
    "AlertStatus",
    "Cause",
    "Confidence",
    "CoordinatorResult",
    "Correlation",
    "Health",
    "Insight",
    "Investigation",
    "OperatorAnswer",
    "OperatorMessage",
    "OperatorResult",
    "RunHandle",
    "Severity",
    "Snapshot",
    "StatusRequest",
    "status",
]
