"""Finding sessions by their ids."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, cast

from beamlens.errors import ConfigError
from beamlens_actors import Registry

if TYPE_CHECKING:
    from beamlens.agent.session import SessionRef
    from beamlens_actors import ActorRef


class SessionRegistry(Registry):
    """A registry of the sessions that run; an entry ends with its actor, and comes back with its restart."""

    def __init__(self) -> None:
        super().__init__("unique")

    def register(self, key: Hashable, ref: ActorRef[Any], value: Any = None) -> None:
        """Enter a session under its id.

        Raises:
            ConfigError: `key` is no text, or empty.
            AlreadyRegistered: Another session holds it; carries the holder.
            ActorDead: `ref` has ended.
        """
        super().register(check_id(key), ref, value)

    def list_ids(self) -> list[str]:
        """The ids of the sessions that run, sorted."""
        return sorted(self.sessions())

    def sessions(self) -> dict[str, SessionRef]:
        """The sessions that run, by id."""
        return {cast("str", entry.key): cast("SessionRef", entry.ref) for entry in self.select(lambda _entry: True)}


def check_id(session_id: object) -> str:
    """`session_id`, if it is one: any text.

    Raises:
        ConfigError: It is none, or empty.
    """
    if not isinstance(session_id, str) or not session_id:
        raise ConfigError(f"a session's id is a text that is not empty, not {session_id!r}", field="session_id")
    return session_id
