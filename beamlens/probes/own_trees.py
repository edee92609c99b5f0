"""Which supervision trees are Beamlens's own, to be told apart from the host's, which use the same supervisors."""

from __future__ import annotations

from beamlens_actors import ActorRef
from beamlens_supervision import Supervisor


class OwnRoot(Supervisor):
    """The root of an instance: a supervisor like any other, known by its class from its first child on."""


def is_root(ref: object) -> bool:
    """Whether an actor is such a root."""
    return isinstance(ref, ActorRef) and issubclass(ref.actor_class, OwnRoot)
