"""Which supervision trees are Beamlens's own, to be told apart from the host's, which use the same supervisors."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from beamlens_actors import ActorRef

_roots: WeakSet[ActorRef[Any]] = WeakSet()


def mark(root: ActorRef[Any]) -> None:
    """The root of an instance."""
    _roots.add(root)


def is_root(ref: object) -> bool:
    """Whether an actor is such a root."""
    return isinstance(ref, ActorRef) and ref in _roots
