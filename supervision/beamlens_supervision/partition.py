"""`PartitionSupervisor`: the same child several times, each for a part of the keys."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

from beamlens_supervision.child_spec import ChildSpec, check_child_spec, refuse_significant
from beamlens_supervision.children import Child
from beamlens_supervision.errors import (
    ChildNotFound,
    ChildRestarting,
    InvalidSupervisorOption,
    NoPartitions,
)
from beamlens_supervision.options import check_callback, is_whole, require
from beamlens_supervision.parent import Operations, ParentActor
from beamlens_supervision.refs import ParentRef
from beamlens_supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from beamlens_actors import ActorRef
    from beamlens_supervision.events import OnEvent
    from beamlens_supervision.strategies import Strategy

    WithArguments: TypeAlias = Callable[[tuple[Any, ...], int], tuple[Any, ...]]


class PartitionSupervisorRef(ParentRef):
    """What `PartitionSupervisor.start` returns. The ids of its children are 0, 1, ..."""

    routes: tuple[Child, ...] = ()
    """The supervisor's records of the children that are routed to: whoever routes reads them, and asks nobody."""

    def partitions(self) -> int:
        """How many there are to route to."""
        return len(self.routes)

    def route(self, key: Hashable) -> ActorRef[Any]:
        """The ref of the child that a key belongs to: always the same one while none is restarted or resized.

        A whole number belongs to its remainder, so that 0, 1, 2, ... go round; anything else to that of its
        `hash`, which for strings differs from one process to the next.

        Raises:
            InvalidSupervisorOption: `key` is not hashable.
            NoPartitions: it was resized to 0.
            ChildRestarting: that child is being restarted.
            ChildNotFound: that child has ended for good.
            ActorDead: the supervisor has ended.
        """
        routes = self.routes
        if not self.is_alive():
            raise self._cell.dead()
        if not routes:
            raise NoPartitions(self.name)
        index = (key if isinstance(key, int) else _hash(key)) % len(routes)
        child = routes[index]
        ref = child.running
        if ref is not None:
            return ref
        raise ChildRestarting(index) if child.state == "restarting" else ChildNotFound(index)

    def resize(self, partitions: int, *, timeout: float | None = None) -> None:
        """Route to the first `partitions` children only, and end the others; or start those again.

        Actors of the others are asked to end as their spec says; what they held is lost. Keys move.

        Raises:
            InvalidSupervisorOption: it is no whole number from 0 to as many as there were at the start.
            ChildStartError: one could not be started; those before it run and are routed to.
        """
        self._request("resize", partitions, timeout=timeout)


class PartitionSupervisor(Supervisor):
    """Starts one child for each partition, and routes keys to them, so that no single actor is in everybody's way.

    counters = PartitionSupervisor.start(ChildSpec("counter", Counter.start), partitions=8)
    counters.route("user:42").tell("visit")
    """

    _beamlens_ref_class = PartitionSupervisorRef

    @classmethod
    def start(  # type: ignore[override]
        cls,
        spec: ChildSpec,
        partitions: int | None = None,
        *,
        with_arguments: WithArguments | None = None,
        strategy: Strategy = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        name: str | None = None,
        backend: str | None = None,
        on_event: OnEvent | None = None,
    ) -> PartitionSupervisorRef:
        """Start a supervisor, and its children in order.

        Args:
            spec: of every child, which gets its number in place of the id.
            partitions: how many; by default the number of CPUs.
            with_arguments: from the arguments of `spec` and a child's number to the arguments of that child.
            strategy: which children are restarted when one ends; see `Supervisor`, as for all that follow.
            max_restarts: restarts allowed within `max_seconds`, all children together.
            max_seconds: the length of that window.
            name: for display and logs.
            backend: what it and its children run on.
            on_event: is called with each `SupervisionEvent`, in the supervisor.

        Raises:
            ChildStartError: a child failed to start; those before it were ended.
            InvalidChildSpec: `spec` is none, or is significant; nothing was started.
            InvalidSupervisorOption: an option is wrong; nothing was started.
        """
        ref = cls._launcher(name, backend).start(
            spec,
            partitions,
            with_arguments=with_arguments,
            strategy=strategy,
            max_restarts=max_restarts,
            max_seconds=max_seconds,
            on_event=on_event,
        )
        return cast("PartitionSupervisorRef", ref)

    def __init__(
        self,
        spec: ChildSpec,
        partitions: int | None = None,
        *,
        with_arguments: WithArguments | None = None,
        strategy: Strategy = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        on_event: OnEvent | None = None,
    ) -> None:
        check_child_spec(spec)
        refuse_significant(spec, "under a PartitionSupervisor")
        if partitions is None:
            partitions = os.cpu_count() or 1
        require(is_whole(partitions, 1), "partitions", partitions, "a whole number of at least 1")
        check_callback("with_arguments", with_arguments)
        self._templates = [_numbered(spec, number, with_arguments) for number in range(partitions)]
        super().__init__(
            self._templates,
            strategy=strategy,
            max_restarts=max_restarts,
            max_seconds=max_seconds,
            on_event=on_event,
        )

    def on_start(self) -> None:  # noqa: D102
        super().on_start()
        self._route_to(len(self._templates))

    def _route_to(self, count: int) -> None:
        # One that was ignored, or has ended for good, is no longer known; its place stays, and leads nowhere.
        known = [self._children.get(number) or Child(self._templates[number]) for number in range(count)]
        cast("PartitionSupervisorRef", self.actor_ref).routes = tuple(known)

    def _resize(self, partitions: int) -> None:
        limit = len(self._templates)
        fits = is_whole(partitions, 0) and partitions <= limit
        require(fits, "partitions", partitions, f"a whole number from 0 to {limit}, as many as it started with")
        ref = cast("PartitionSupervisorRef", self.actor_ref)
        now = len(ref.routes)
        for number in range(now, partitions):
            self._add(self._templates[number])
            self._route_to(number + 1)
        if partitions < now:
            # No longer routed to before it ends, so that nobody is sent to one that is ending.
            self._route_to(partitions)
            gone = [child for number in range(partitions, now) if (child := self._children.pop(number, None))]
            self._end_together(gone)

    operations: ClassVar[Operations] = {**ParentActor.operations, "resize": _resize}


def _numbered(spec: ChildSpec, number: int, with_arguments: WithArguments | None) -> ChildSpec:
    args = spec.args if with_arguments is None else with_arguments(spec.args, number)
    return replace(spec, id=number, args=args)


def _hash(key: object) -> int:
    try:
        return hash(key)
    except TypeError:
        raise InvalidSupervisorOption("key", key, "hashable") from None
