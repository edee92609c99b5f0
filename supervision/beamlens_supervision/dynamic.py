"""`DynamicSupervisor`: children that come and go."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, cast

from beamlens_actors import ActorRef
from beamlens_supervision.child_spec import ChildSpec, check_child_spec, refuse_significant
from beamlens_supervision.children import Child
from beamlens_supervision.errors import (
    ChildNotFound,
    ChildStartError,
    MaxChildren,
)
from beamlens_supervision.options import is_whole, require
from beamlens_supervision.parent import Operations, ParentActor
from beamlens_supervision.refs import DynamicSupervisorRef

if TYPE_CHECKING:
    from collections.abc import Iterable

    from beamlens_actors import ExitReason
    from beamlens_supervision.events import OnEvent


class DynamicSupervisor(ParentActor):
    """Starts children on request, keyed by their refs, restarts each alone, and ends them all at once.

    A child that has ended for good, or was terminated, is forgotten.
    """

    _beamlens_ref_class: ClassVar[type[ActorRef[Any]]] = DynamicSupervisorRef

    @classmethod
    def start(
        cls,
        max_children: float = math.inf,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        extra_args: tuple[Any, ...] = (),
        *,
        name: str | None = None,
        backend: str | None = None,
        on_event: OnEvent | None = None,
    ) -> DynamicSupervisorRef:
        """Start a supervisor without children.

        Args:
            max_children: how many there may be, those being restarted included.
            max_restarts: restarts allowed within `max_seconds`, all children together; see `Supervisor`.
            max_seconds: the length of that window.
            extra_args: put before the arguments of each child, on first start and on restarts.
            name: for display and logs.
            backend: what it runs on, and its children that do not choose; by default that of the calling actor,
                else the process's.
            on_event: is called with each `SupervisionEvent`, in the supervisor.

        Raises:
            InvalidSupervisorOption: an option is wrong.
        """
        ref = cls._launcher(name, backend).start(max_children, max_restarts, max_seconds, extra_args, on_event=on_event)
        return cast("DynamicSupervisorRef", ref)

    def __init__(
        self,
        max_children: float = math.inf,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        extra_args: tuple[Any, ...] = (),
        *,
        on_event: OnEvent | None = None,
    ) -> None:
        super().__init__(max_restarts, max_seconds, on_event)
        limited = max_children == math.inf or is_whole(max_children, 0)
        require(limited, "max_children", max_children, "math.inf or a whole number of at least 0")
        require(isinstance(extra_args, tuple), "extra_args", extra_args, "a tuple")
        self._max_children = max_children
        self._extra_args = extra_args
        # A child that is being restarted stays under its last ref, by which it can still be terminated.
        self._children: dict[ActorRef[Any], Child] = {}

    def _known(self) -> Iterable[Child]:
        return self._children.values()

    def _end_children(self) -> None:
        self._end_together(list(self._known()))

    def _ended(self, child: Child, reason: ExitReason) -> None:
        if child.spec.wants_restart(reason):
            self._restart(child)
        else:
            self._forget(child)

    def _forget(self, child: Child) -> None:
        if child.ref is not None:
            self._children.pop(child.ref, None)

    def _attempt(self, child: Child) -> None:
        before = cast("ActorRef[Any]", child.ref)
        try:
            self._launch_again(child, *self._extra_args)
        except ChildStartError as error:
            self._try_again(child, error)
            return
        del self._children[before]
        if child.running is not None:
            self._children[child.running] = child

    def _start_child(self, spec: ChildSpec, *first_args: Any) -> Any:
        check_child_spec(spec)
        refuse_significant(spec, "under a DynamicSupervisor")
        if len(self._children) >= self._max_children:
            raise MaxChildren(self._max_children)
        child = Child(spec)
        returned = self._launch_new(child, *self._extra_args, *first_args)
        if child.running is not None:
            self._children[child.running] = child
        return returned

    def _terminate_child(self, ref: ActorRef[Any]) -> None:
        # Checked because an id, say, may not even be hashable, which must not end the supervisor.
        child = self._children.get(ref) if isinstance(ref, ActorRef) else None
        if child is None:
            raise ChildNotFound(ref)
        self._end_one(child)
        self._forget(child)

    operations: ClassVar[Operations] = {
        **ParentActor.operations,
        "start_child": _start_child,
        "terminate_child": _terminate_child,
    }
