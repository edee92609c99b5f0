"""Who is whose child, remembered beyond the supervisor's end: only so an orphan is known."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import ref as weak

from beamlens.probes import own_trees
from beamlens_actors import ActorRef

_MOST = 20_000
_DEEPEST = 50


class Parent(NamedTuple):
    """The supervisor of an actor.

    Attributes:
        name: Its name.
        child_id: What it calls the actor.
        reference: Answers its ref while anybody still holds it.
    """

    name: str
    child_id: str
    reference: Any

    @property
    def ref(self) -> ActorRef[Any] | None:
        """The supervisor's ref."""
        found: ActorRef[Any] | None = self.reference()
        return found

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        found = self.ref
        return found is None or not found.is_alive()


class Kinship:
    """Filled by supervisors as they start children, and by whoever looks at the trees; actors are held weakly.

    A plain dict by weak references: its copy is one step of the interpreter, while that of a `WeakKeyDictionary` fails
    when a supervisor starts a child meanwhile.
    """

    def __init__(self) -> None:
        self._parents: dict[weak[ActorRef[Any]], Parent] = {}

    def born(self, child: ActorRef[Any], supervisor: ActorRef[Any], child_id: str) -> None:
        """`supervisor` has started `child`."""
        key = weak(child, self._forget)
        if len(self._parents) < _MOST or key in self._parents:
            self._parents[key] = Parent(supervisor.name, child_id, weak(supervisor))

    def _forget(self, key: weak[ActorRef[Any]]) -> None:
        self._parents.pop(key, None)

    def parent(self, ref: Any) -> Parent | None:
        """The supervisor of an actor, if one is known."""
        return self._parents.get(weak(ref)) if isinstance(ref, ActorRef) else None

    def all(self) -> list[tuple[ActorRef[Any], Parent]]:
        """Every actor whose supervisor is known."""
        held = self._parents.copy()
        return [(ref, parent) for key, parent in held.items() if (ref := key()) is not None]

    def branch(self, ref: ActorRef[Any]) -> str:
        """Where a supervisor stands in its tree, such as ``Shop/orders``: the same when it is started again."""
        ids: list[str] = []
        for _ in range(_DEEPEST):
            parent = self.parent(ref)
            above = None if parent is None else parent.ref
            if parent is None or above is None:
                break
            ids.append(parent.child_id)
            ref = above
        return "/".join([ref.name, *reversed(ids)])

    def is_own(self, ref: Any) -> bool:
        """Whether an actor stands in a tree of Beamlens's own."""
        for _ in range(_DEEPEST):
            if own_trees.is_root(ref):
                return True
            parent = self.parent(ref)
            ref = None if parent is None else parent.ref
            if ref is None:
                return False
        return False
