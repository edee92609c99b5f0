"""Supervision as in Erlang/OTP: who restarts whom. Needs nothing but `beamlens_actors`."""

from beamlens_supervision.backoff import Backoff
from beamlens_supervision.child_spec import ChildSpec, Ignore, check_child_specs, child_spec
from beamlens_supervision.children import ChildCounts, ChildInfo
from beamlens_supervision.dynamic import DynamicSupervisor
from beamlens_supervision.errors import (
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    ChildStartError,
    InvalidChildSpec,
    InvalidSupervisorOption,
    MaxChildren,
    NoPartitions,
    SupervisionError,
    TaskCancelled,
    TaskEnded,
    TaskTimeout,
)
from beamlens_supervision.events import (
    ChildEnded,
    ChildRestarted,
    ChildStarted,
    GaveUp,
    RestartFailed,
    SupervisionEvent,
    observe,
)
from beamlens_supervision.job import TaskResult, callers
from beamlens_supervision.many import await_many, yield_many
from beamlens_supervision.partition import PartitionSupervisor, PartitionSupervisorRef
from beamlens_supervision.refs import DynamicSupervisorRef, ParentRef, SupervisorRef
from beamlens_supervision.supervisor import Supervisor
from beamlens_supervision.task import Task
from beamlens_supervision.tasks import TaskSupervisor, TaskSupervisorRef
from beamlens_supervision.tree import TreeNode, format_tree, tree

__all__ = [
    "AlreadyPresent",
    "AlreadyStarted",
    "Backoff",
    "ChildCounts",
    "ChildEnded",
    "ChildInfo",
    "ChildNotFound",
    "ChildRestarted",
    "ChildRestarting",
    "ChildRunning",
    "ChildSpec",
    "ChildStartError",
    "ChildStarted",
    "DynamicSupervisor",
    "DynamicSupervisorRef",
    "GaveUp",
    "Ignore",
    "InvalidChildSpec",
    "InvalidSupervisorOption",
    "MaxChildren",
    "NoPartitions",
    "ParentRef",
    "PartitionSupervisor",
    "PartitionSupervisorRef",
    "RestartFailed",
    "SupervisionError",
    "SupervisionEvent",
    "Supervisor",
    "SupervisorRef",
    "Task",
    "TaskCancelled",
    "TaskEnded",
    "TaskResult",
    "TaskSupervisor",
    "TaskSupervisorRef",
    "TaskTimeout",
    "TreeNode",
    "await_many",
    "callers",
    "check_child_specs",
    "child_spec",
    "format_tree",
    "observe",
    "tree",
    "yield_many",
]
