"""Finding agents by name, in one instance or in the oldest one that runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from beamlens_actors import Actor, ActorRef, Registry
from beamlens_supervision import ChildSpec

if TYPE_CHECKING:
    from beamlens.application.instance import Beamlens


class WatcherRegistry(Actor):
    """The actor around an instance's registry: its entries are the instance's, so they survive its restart."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry

    @classmethod
    def child_spec(cls, registry: Registry) -> ChildSpec:
        """How a supervisor starts it."""
        return ChildSpec("WatcherRegistry", cls.options(name="WatcherRegistry").start, (registry,), shutdown=1.0)

    def on_receive(self, message: Any) -> ActorRef[Any] | None:
        """A name: the ref of that watcher, else of that operator, else ``None``."""
        return find(self._registry, message)


def find(registry: Registry, name: object) -> ActorRef[Any] | None:
    """The watcher of a name, else the operator, else the coordinator, else ``None``."""
    if not isinstance(name, str):
        return None
    for kind in ("watcher", "operator", "coordinator"):
        ref = registry.lookup((kind, name))
        if ref is not None:
            return ref
    return None


class AgentRegistry:
    """Finds the agents of one instance."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def lookup(self, name: str) -> ActorRef[Any] | None:
        """The ref of the watcher of that name, else of the operator, else ``None``; it answers ``ask(status)``."""
        return find(self._registry, name)


class DefaultRegistry:
    """Finds agents in the oldest instance that runs, or in ``instance=``."""

    def __init__(self, running: Callable[[str | None], Beamlens]) -> None:
        self._running = running

    def lookup(self, name: str, *, instance: str | None = None) -> ActorRef[Any] | None:
        """See `AgentRegistry.lookup`.

        Raises:
            NotStarted: No instance runs, or none of that name.
        """
        return self._running(instance).registry.lookup(name)
