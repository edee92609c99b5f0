"""Beamlens finds out why a Python service misbehaves, from inside the process, while it happens.

::

    from beamlens import Beamlens

    lens = Beamlens.start(watchers=["runtime", "logger", "exception"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from beamlens.agent.budget import Budget
from beamlens.application import Beamlens, Coordinator, InstanceStatus, Report, WatcherSpec, registry
from beamlens.domains import Domain, callback
from beamlens.errors import (
    AlreadyAwaiting,
    AlreadyStarted,
    BeamlensError,
    BudgetExceeded,
    Cancelled,
    ClientConfigError,
    ConfigError,
    CoordinatorNotStarted,
    DeadlineExceeded,
    LLMError,
    NotStarted,
    OperatorNotStarted,
    UnknownDomain,
)
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.findings import AgentStatus, Alert, CoordinatorResult, Insight, RunHandle, Snapshot, status
from beamlens.metrics import Metric

if TYPE_CHECKING:
    from beamlens.application.operator import Operator
    from beamlens.errors import AlreadyAwaiting, Cancelled, DeadlineExceeded, OperatorNotStarted
    from beamlens.findings import OperatorAnswer, OperatorMessage, OperatorResult, RunHandle
    from beamlens.operator import OperatorActor, OperatorComplete, OperatorNotification
    from beamlens.probes.tables import register_table, unregister_table

_LAZY = {
    "AlreadyAwaiting": "beamlens.errors",
    "Cancelled": "beamlens.errors",
    "DeadlineExceeded": "beamlens.errors",
    "Operator": "beamlens.application.operator",
    "OperatorActor": "beamlens.operator",
    "OperatorAnswer": "beamlens.findings",
    "OperatorComplete": "beamlens.operator",
    "OperatorMessage": "beamlens.findings",
    "OperatorNotStarted": "beamlens.errors",
    "OperatorNotification": "beamlens.operator",
    "OperatorResult": "beamlens.findings",
    "RunHandle": "beamlens.findings",
    "register_table": "beamlens.probes.tables",
    "unregister_table": "beamlens.probes.tables",
}


def __getattr__(name: str) -> Any:
    """What few programs use is imported when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = globals()[name] = getattr(importlib.import_module(_LAZY[name]), name)
    return value


__all__ = [
    "AgentStatus",
    "Alert",
    "AlreadyAwaiting",
    "AlreadyStarted",
    "Beamlens",
    "BeamlensError",
    "Budget",
    "BudgetExceeded",
    "Cancelled",
    "CauseKind",
    "ClientConfigError",
    "ConfigError",
    "Coordinator",
    "CoordinatorNotStarted",
    "CoordinatorResult",
    "DeadlineExceeded",
    "Domain",
    "Evidence",
    "Insight",
    "InstanceStatus",
    "LLMError",
    "Metric",
    "NotStarted",
    "Operator",
    "OperatorActor",
    "OperatorAnswer",
    "OperatorComplete",
    "OperatorMessage",
    "OperatorNotStarted",
    "OperatorNotification",
    "OperatorResult",
    "Place",
    "Report",
    "RunHandle",
    "Snapshot",
    "Strength",
    "UnknownDomain",
    "WatcherSpec",
    "callback",
    "register_table",
    "registry",
    "status",
    "unregister_table",
]
