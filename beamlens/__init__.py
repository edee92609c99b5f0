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
    from beamlens.probes.tables import register_table, unregister_table

_TABLES = ("register_table", "unregister_table")


def __getattr__(name: str) -> Any:
    """What few programs use is imported when it is asked for."""
    if name not in _TABLES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from beamlens.probes import tables

    return getattr(tables, name)


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
    "OperatorNotStarted",
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
