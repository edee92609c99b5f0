"""`Supervisor`: children that are known beforehand, in an order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from beamlens_actors import ActorRef, ExitReason, Shutdown
from beamlens_supervision.child_spec import ChildSpec, check_child_spec, collect_specs, is_hashable, refuse_significant
from beamlens_supervision.children import Child
from beamlens_supervision.errors import (
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    ChildStartError,
)
from beamlens_supervision.parent import Operations, ParentActor
from beamlens_supervision.refs import SupervisorRef
from beamlens_supervision.strategies import (
    AutoShutdown,
    Strategy,
    affected,
    check_auto_shutdown,
    check_strategy,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from beamlens_supervision.events import OnEvent


class Supervisor(ParentActor):
    """Starts its children in order, restarts them by their specs, and ends them in reverse order.

    Start options such as the backend are given as to any actor: `Supervisor.options(backend=...).start(...)`.
    """

    _beamlens_ref_class: ClassVar[type[ActorRef[Any]]] = SupervisorRef

    @classmethod
    def start(
        cls,
        specs: Iterable[ChildSpec] = (),
        *,
        strategy: Strategy = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        auto_shutdown: AutoShutdown = "never",
        name: str | None = None,
        backend: str | None = None,
        on_event: OnEvent | None = None,
    ) -> SupervisorRef:
        """Start a supervisor, and its children in order, each after the one before is ready.

        Args:
            specs: the children.
            strategy: which children are restarted when one ends: `one_for_one` that one, `one_for_all` all,
                `rest_for_one` that one and those after it.
            max_restarts: restarts allowed within `max_seconds`. With one more it ends its children and
                itself, with `Shutdown()`.
            max_seconds: the length of that window.
            auto_shutdown: whether it ends, with `Shutdown()`, once a significant child has ended for good
                (`any_significant`) or the last of them has (`all_significant`).
            name: for display and logs.
            backend: what it runs on, and its children that do not choose; by default that of the calling actor,
                else the process's.
            on_event: is called with each `SupervisionEvent`, in the supervisor.

        Raises:
            ChildStartError: a child failed to start; those before it were ended in reverse order.
            InvalidChildSpec: nothing was started.
            InvalidSupervisorOption: an option is wrong; nothing was started.
        """
        ref = cls._launcher(name, backend).start(
            specs,
            strategy=strategy,
            max_restarts=max_restarts,
            max_seconds=max_seconds,
            auto_shutdown=auto_shutdown,
            on_event=on_event,
        )
        return cast("SupervisorRef", ref)

    def __init__(
        self,
        specs: Iterable[ChildSpec] = (),
        *,
        strategy: Strategy = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        auto_shutdown: AutoShutdown = "never",
        on_event: OnEvent | None = None,
    ) -> None:
        super().__init__(max_restarts, max_seconds, on_event)
        check_strategy(strategy)
        check_auto_shutdown(auto_shutdown)
        self._strategy: Strategy = strategy
        self._auto_shutdown: AutoShutdown = auto_shutdown
        self._specs = collect_specs(specs)
        for spec in self._specs:
            self._check_significant(spec)
        self._children: dict[Hashable, Child] = {}

    def on_start(self) -> None:  # noqa: D102
        specs, self._specs = self._specs, ()
        for spec in specs:
            self._add(spec)

    def _add(self, spec: ChildSpec) -> Any:
        child = self._children[spec.id] = Child(spec)
        try:
            returned = self._launch_new(child)
        except ChildStartError:
            del self._children[spec.id]
            raise
        self._drop_if_forgotten(child)
        return returned

    def _drop_if_forgotten(self, child: Child) -> None:
        if child.state == "stopped" and child.spec.restart == "temporary":
            self._children.pop(child.spec.id, None)

    def _check_significant(self, spec: ChildSpec) -> None:
        if self._auto_shutdown == "never":
            refuse_significant(spec, "when auto_shutdown is never")

    def _known(self) -> Iterable[Child]:
        return self._children.values()

    def _end_children(self) -> None:
        for child in reversed(list(self._children.values())):
            self._end_one(child)

    def _ended(self, child: Child, reason: ExitReason) -> None:
        if child.spec.wants_restart(reason):
            self._restart(child)
            return
        self._drop_if_forgotten(child)
        if child.spec.significant and self._ends_with(child):
            self.stop(Shutdown())

    def _ends_with(self, child: Child) -> bool:
        if self._auto_shutdown == "all_significant":
            others = (other for other in self._children.values() if other is not child)
            return not any(other.spec.significant and other.state != "stopped" for other in others)
        return self._auto_shutdown == "any_significant"

    def _before_waiting(self, child: Child) -> None:
        self._end_group(child)

    def _end_group(self, failed: Child) -> list[Child]:
        if self._strategy == "one_for_one":
            # The rule would say the same, but with many children their list costs more than the restart.
            return [failed]
        group = affected(self._strategy, list(self._children.values()), failed)
        for child in reversed(group):
            self._end_one(child)
            if child is not failed:
                self._drop_if_forgotten(child)
        return [child for child in group if child.spec.id in self._children]

    def _attempt(self, child: Child) -> None:
        for member in self._end_group(child):
            try:
                self._launch_again(member)
            except ChildStartError as error:
                self._try_again(member, error)
                return

    def _get(self, child_id: Hashable) -> Child | None:
        # An id that is not hashable is nobody's, and must not end the supervisor.
        return self._children.get(child_id) if is_hashable(child_id) else None

    def _find(self, child_id: Hashable) -> Child:
        child = self._get(child_id)
        if child is None:
            raise ChildNotFound(child_id)
        return child

    def _find_stopped(self, child_id: Hashable) -> Child:
        child = self._find(child_id)
        if child.state == "running":
            raise ChildRunning(child_id)
        if child.state == "restarting":
            raise ChildRestarting(child_id)
        return child

    def _child(self, child_id: Hashable) -> ActorRef[Any] | None:
        child = self._get(child_id)
        return None if child is None else child.running

    def _get_child_spec(self, child_id: Hashable) -> ChildSpec:
        return self._find(child_id).spec

    def _start_child(self, spec: ChildSpec) -> Any:
        check_child_spec(spec)
        self._check_significant(spec)
        present = self._children.get(spec.id)
        if present is not None:
            if present.running is not None:
                raise AlreadyStarted(spec.id, present.running)
            raise AlreadyPresent(spec.id)
        return self._add(spec)

    def _terminate_child(self, child_id: Hashable) -> None:
        child = self._find(child_id)
        self._end_one(child)
        self._drop_if_forgotten(child)

    def _restart_child(self, child_id: Hashable) -> Any:
        return self._launch_new(self._find_stopped(child_id))

    def _delete_child(self, child_id: Hashable) -> None:
        del self._children[self._find_stopped(child_id).spec.id]

    operations: ClassVar[Operations] = {
        **ParentActor.operations,
        "child": _child,
        "get_child_spec": _get_child_spec,
        "start_child": _start_child,
        "terminate_child": _terminate_child,
        "restart_child": _restart_child,
        "delete_child": _delete_child,
    }
