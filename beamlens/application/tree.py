"""The supervision tree of an instance (design section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from beamlens.agent.core import registry_child as agent_registry_child
from beamlens.agent.core import sessions_child, subagents_child, task_children, tasks
from beamlens.application.lookup import WatcherRegistry
from beamlens.probes.own_trees import OwnRoot
from beamlens_actors import Registry
from beamlens_supervision import (
    ChildEnded,
    ChildRestarted,
    ChildSpec,
    ChildStarted,
    DynamicSupervisor,
    DynamicSupervisorRef,
    GaveUp,
    SupervisionEvent,
    Supervisor,
    SupervisorRef,
)

if TYPE_CHECKING:
    from beamlens.agent import AgentRegistry
    from beamlens.telemetry import Bus

OPERATORS = ("supervisor", "operators")
MAX_RESTARTS = 10
MAX_SECONDS = 10.0

OnEvent = Callable[[SupervisionEvent], object]


def events_to(bus: Bus) -> OnEvent:
    """Turns what supervisors tell into events."""

    def on_event(event: SupervisionEvent) -> None:
        child = str(event.child_id)
        match event:
            case ChildStarted():
                bus.emit("supervision.child_started", "supervisor", child=child)
            case ChildEnded(reason=reason):
                bus.emit("supervision.child_ended", "supervisor", child=child, reason=repr(reason))
            case ChildRestarted(restarts=restarts):
                bus.emit("supervision.child_restarted", "supervisor", {"restarts": restarts}, child=child)
            case GaveUp():
                bus.emit("supervision.gave_up", "supervisor", child=child)

    return on_event


def start_root(specs: Iterable[ChildSpec], on_event: OnEvent) -> SupervisorRef:
    """Start the root over its children."""
    return OwnRoot.start(
        specs, max_restarts=MAX_RESTARTS, max_seconds=MAX_SECONDS, name="Beamlens.Supervisor", on_event=on_event
    )


def task_supervisor(registry: Registry, on_event: OnEvent) -> ChildSpec:
    """The supervisor over the two task supervisors, each found through the registry, since each may be restarted."""
    children = task_children(registry)
    return ChildSpec(
        "TaskSupervisor",
        Supervisor.start,
        (children,),
        {"name": "TaskSupervisor", "on_event": on_event, "max_restarts": MAX_RESTARTS},
        type="supervisor",
        shutdown=1.0,
    )


def agent_children(agents: AgentRegistry, registry: Registry, on_event: OnEvent) -> list[ChildSpec]:
    """What users' agents run on, besides the task supervisors (seed 003)."""
    return [agent_registry_child(agents), subagents_child(registry, on_event), sessions_child(registry, on_event)]


def registry_child(registry: Registry) -> ChildSpec:
    """The actor around the registry."""
    return WatcherRegistry.child_spec(registry)


def watcher_supervisor(make_specs: Callable[[], list[ChildSpec]], registry: Registry, on_event: OnEvent) -> ChildSpec:
    """A DynamicSupervisor that has its watchers from the start, and again after a restart of its own."""

    def start() -> DynamicSupervisorRef:
        launcher = DynamicSupervisor.options(
            name="WatcherSupervisor", register=(registry, ("supervisor", "watchers")), start_timeout=None
        )
        ref: Any = launcher.start(max_restarts=MAX_RESTARTS, max_seconds=MAX_SECONDS, on_event=on_event)
        try:
            for spec in make_specs():
                ref.start_child(spec)
        except BaseException:
            ref.stop()
            raise
        return ref  # type: ignore[no-any-return]

    return ChildSpec("WatcherSupervisor", start, type="supervisor", shutdown=1.5)


def operator_supervisor(specs: list[ChildSpec], registry: Registry, on_event: OnEvent) -> ChildSpec:
    """A supervisor over the idle operators, found through the registry."""

    def start() -> object:
        launcher = Supervisor.options(name="OperatorSupervisor", register=(registry, OPERATORS), start_timeout=None)
        return launcher.start(specs, max_restarts=MAX_RESTARTS, on_event=on_event)

    return ChildSpec("OperatorSupervisor", start, type="supervisor", shutdown=1.0)


__all__ = [
    "agent_children",
    "events_to",
    "operator_supervisor",
    "registry_child",
    "start_root",
    "task_supervisor",
    "tasks",
    "watcher_supervisor",
]
