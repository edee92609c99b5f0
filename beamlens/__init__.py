"""Beamlens finds out why a Python service misbehaves, from inside the process, while it happens.

::

    from beamlens import Beamlens

    lens = Beamlens.start(watchers=["runtime", "logger", "exception"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from beamlens.agent.budget import Budget
from beamlens.application import Beamlens, InstanceStatus, Report, WatcherSpec, registry
from beamlens.domains import Domain, callback
from beamlens.errors import (
    AlreadyStarted,
    BeamlensError,
    BudgetExceeded,
    ClientConfigError,
    ConfigError,
    LLMError,
    NotStarted,
    UnknownDomain,
)
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.findings import AgentStatus, Alert, Insight, Snapshot, status
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
    "AlreadyStarted",
    "Beamlens",
    "BeamlensError",
    "Budget",
    "BudgetExceeded",
    "CauseKind",
    "ClientConfigError",
    "ConfigError",
    "Domain",
    "Evidence",
    "Insight",
    "InstanceStatus",
    "LLMError",
    "Metric",
    "NotStarted",
    "Place",
    "Report",
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
