"""Finding agents by session, role and number."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

from beamlens.errors import ConfigError
from beamlens_actors import Actor, ActorRef, Registry
from beamlens_supervision import ChildSpec

MAIN = "main"


class AgentKey(NamedTuple):
    """Names one agent. The main agent of a session is ``(session_id, "main", 0)``; any such tuple is a key."""

    session_id: str
    role: str = MAIN
    number: int = 0


class AgentRegistry(Registry):
    """A registry of agents; an entry ends with its agent."""

    def __init__(self) -> None:
        super().__init__("unique")

    def register(self, key: Hashable, ref: ActorRef[Any], value: Any = None) -> None:
        """Enter an agent under ``(session_id, role, index)``.

        Raises:
            ConfigError: `key` is no such key.
            AlreadyRegistered: Another agent holds it; carries the holder.
            ActorDead: `ref` has ended.
        """
        super().register(check_key(key), ref, value)

    def agents(self, session_id: str | None = None, role: str | None = None) -> dict[AgentKey, ActorRef[Any]]:
        """The agents there are, of a session, of a role, or all; ordered by key."""
        found = {AgentKey(*entry.key): entry.ref for entry in self.select(lambda _entry: True)}  # type: ignore[misc]
        return {
            key: found[key]
            for key in sorted(found)
            if session_id in (None, key.session_id) and role in (None, key.role)
        }

    def main(self, session_id: str) -> ActorRef[Any] | None:
        """The main agent of a session."""
        return self.lookup(AgentKey(session_id))


def check_key(key: object) -> AgentKey:
    """`key`, if it is one.

    Raises:
        ConfigError: It is none.
    """
    match key:
        case (str(session_id), str(role), int(index)) if session_id and role and index >= 0 and index is not True:
            return AgentKey(session_id, role, index)
    text = f"an agent's key is (session_id, role, index), two texts and a number of at least 0, not {key!r}"
    raise ConfigError(text, field="key")


class AgentRegistryActor(Actor):
    """The registry as a child of its supervisor; its entries are held outside, so they survive its restart."""

    def __init__(self, registry: AgentRegistry) -> None:
        super().__init__()
        self._registry = registry

    @classmethod
    def child_spec(cls, registry: AgentRegistry) -> ChildSpec:
        """How a supervisor starts it."""
        return ChildSpec("AgentRegistry", cls.options(name="AgentRegistry").start, (registry,), shutdown=1.0)

    def on_receive(self, message: Any) -> ActorRef[Any] | None:
        """A key: the agent under it, or ``None``."""
        return self._registry.lookup(message)
