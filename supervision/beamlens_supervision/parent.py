"""What every supervisor does, whatever it keeps its children in: start, watch, restart and end them."""

from __future__ import annotations

import logging
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from beamlens_actors import (
    Actor,
    ActorDead,
    ActorRef,
    Down,
    Exit,
    ExitReason,
    Killed,
    Monitor,
    Normal,
    ReplyError,
    Shutdown,
    clock,
    current_actor,
)
from beamlens_supervision import children as kids
from beamlens_supervision.child_spec import Backoff, ChildSpec, Restart
from beamlens_supervision.child_spec import Shutdown as ShutdownTime
from beamlens_supervision.errors import ChildStartError, SupervisionError
from beamlens_supervision.events import (
    ChildEnded,
    ChildRestarted,
    ChildStarted,
    GaveUp,
    OnEvent,
    RestartFailed,
    SupervisionEvent,
    observers,
)
from beamlens_supervision.intensity import RestartWindow
from beamlens_supervision.options import check_callback, check_name
from beamlens_supervision.retries import Retries, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from beamlens_actors.actor import Launcher
    from beamlens_supervision.children import Child, ChildCounts, ChildInfo

logger = logging.getLogger("beamlens_supervision")

Operations: TypeAlias = "dict[str, Callable[..., Any]]"


@dataclass(frozen=True, slots=True)
class Request:
    """What a ref asks of its supervisor: the name of an operation and its arguments."""

    operation: str
    args: tuple[Any, ...] = ()


class ParentActor(Actor):
    """Base of the supervisors. Subclasses keep the children and decide what happens when one ends."""

    trap_exit = True

    def __init__(self, max_restarts: int, max_seconds: float, on_event: OnEvent | None) -> None:
        super().__init__()
        self._window = RestartWindow(max_restarts, max_seconds)
        check_callback("on_event", on_event)
        self._on_event = on_event
        self._parent = current_actor()
        self._watched: dict[Monitor, Child] = {}
        self._retries = Retries(self.actor_ref)
        self._gave_up = False

    @classmethod
    def _launcher(cls, name: str | None, backend: str | None) -> Launcher[Self]:
        """What starts one, without a limit on its time: its children may need long.

        Raises:
            InvalidSupervisorOption: `name` is no name.
        """
        check_name(name)
        return cls.options(name=name, backend=backend, start_timeout=None)

    @classmethod
    def child_spec(
        cls,
        id: Hashable,  # noqa: A002 - as in ChildSpec
        *args: Any,
        restart: Restart = "permanent",
        shutdown: ShutdownTime = None,
        significant: bool = False,
        backoff: Backoff = None,
        **kwargs: Any,
    ) -> ChildSpec:
        """The spec with which another supervisor, yours or a host's, takes this one as its child.

        Args:
            id: its name there.
            args: for this class's `start`.
            restart: see `ChildSpec`, as for all that follow.
            shutdown: by default it may take as long as its children do.
            significant: whether its end may end the other.
            backoff: seconds before a restart.
            kwargs: for this class's `start`.

        Raises:
            InvalidChildSpec: naming field and value.
        """
        return ChildSpec(id, cls.start, args, kwargs, restart, shutdown, "supervisor", significant, backoff)

    @abstractmethod
    def _known(self) -> Iterable[Child]:
        """All children, in the order they were started."""

    @abstractmethod
    def _ended(self, child: Child, reason: ExitReason) -> None:
        """`child` ended by itself: forget it, keep its spec, or `_restart` it."""

    @abstractmethod
    def _attempt(self, child: Child) -> None:
        """Try once to restart `child`, whose restart has been counted; on failure call `_try_again`."""

    @abstractmethod
    def _end_children(self) -> None:
        """End all children, each in its own time; the supervisor is ending."""

    def _before_waiting(self, child: Child) -> None:
        """`child` will be restarted only after its backoff."""

    def on_receive(self, message: Any) -> Any:  # noqa: D102
        try:
            return self._answer(message)
        except SupervisionError as refusal:
            raise ReplyError(refusal) from refusal.__cause__
        finally:
            if self._retries.untold:
                self._retries.tell_untold()

    def _answer(self, message: Any) -> Any:
        if isinstance(message, Request):
            return self.operations[message.operation](self, *message.args)
        if isinstance(message, Retry):
            self._retry(message)
        else:
            logger.warning("%s dropped a message that is none of a supervisor's: %r", self.actor_ref.name, message)
        return None

    def on_down(self, down: Down) -> None:  # noqa: D102
        child = self._watched.pop(down.monitor, None)
        if child is None:
            return
        reason = kids.true_reason(down)
        child.monitor = None
        child.state = "stopped"
        if clock.monotonic() - child.started_at >= self._window.max_seconds:
            child.attempt = 0
        self._emit(ChildEnded, child.spec.id, down.ref, reason)
        if not self._gave_up:
            self._ended(child, reason)

    def on_exit(self, exit: Exit) -> None:  # noqa: A002, D102
        # Children are linked to end with a supervisor that is killed; their own ends arrive as Down.
        if exit.ref in {None, self._parent} and not isinstance(exit.reason, Normal):
            self.stop(exit.reason)

    def on_terminate(self, reason: ExitReason) -> None:  # noqa: D102
        self._gave_up = True
        self._retries.cancel_all()
        if isinstance(reason, Killed):
            self._end_together(list(self._known()), brutally=True)
        else:
            self._end_children()

    def _launch(self, child: Child, *extra_args: Any) -> Any:
        """Start `child` and return what its start returned; it is `running` then unless that was `Ignore`.

        Raises:
            ChildStartError: nothing of it runs.
        """
        spec = child.spec
        try:  # whatever it raises, a SystemExit too, is the child's affair
            returned = spec.start(*extra_args, *spec.args, **spec.kwargs)
            ref = kids.ref_of(returned)
        except BaseException as error:
            raise ChildStartError(spec.id, error) from error
        if ref is None:
            child.state = "stopped"
            return returned
        child.ref = ref
        child.state = "running"
        child.started_at = clock.monotonic()
        self.link(ref)
        child.monitor = self.monitor(ref)
        self._watched[child.monitor] = child
        if not self.actor_ref.is_alive():
            # Killed while it waited for this start: the link came too late, so the child is ended by hand.
            kids.end(ref, 0)
            raise ChildStartError(spec.id, ActorDead(f"{self.actor_ref.name} was killed meanwhile"))
        return returned

    def _launch_new(self, child: Child, *extra_args: Any) -> Any:
        returned = self._launch(child, *extra_args)
        if child.spec.restart == "temporary":
            child.spec = child.spec.without_arguments()
        if child.running is not None:
            self._emit(ChildStarted, child.spec.id, child.running)
        return returned

    def _launch_again(self, child: Child, *extra_args: Any) -> None:
        self._launch(child, *extra_args)
        if child.running is not None:
            child.restarts += 1
            self._emit(ChildRestarted, child.spec.id, child.running, child.restarts)

    def _end_one(self, child: Child) -> None:
        """End `child` in its own time, whatever its state, and cancel its restart; its record stays."""
        self._end_together([child])

    def _end_together(self, many: Iterable[Child], *, brutally: bool = False) -> None:
        """`_end_one` for many at once."""
        refs = {child: ref for child in many if (ref := self._let_go(child)) is not None}
        timeouts = {ref: 0.0 if brutally else child.spec.shutdown_timeout for child, ref in refs.items()}
        reasons = kids.end_all(timeouts)
        for child, ref in refs.items():
            self._has_ended(child, ref, reasons[ref], asked=timeouts[ref] != 0)

    def _let_go(self, child: Child) -> ActorRef[Any] | None:
        self._retries.cancel(child)
        ref = child.running
        if child.monitor is not None:
            self._watched.pop(child.monitor, None)
            self.demonitor(child.monitor)
            child.monitor = None
        child.state = "stopped"
        return ref

    def _has_ended(self, child: Child, ref: ActorRef[Any], reason: ExitReason, *, asked: bool) -> None:
        expected = isinstance(reason, Shutdown) or (isinstance(reason, Killed) and not asked)
        if not expected and not (isinstance(reason, Normal) and child.spec.restart != "permanent"):
            logger.warning("%s: child %r ended with %r when stopped", self.actor_ref.name, child.spec.id, reason)
        self._emit(ChildEnded, child.spec.id, ref, reason)

    def _restart(self, child: Child) -> None:
        """Count one restart of `child`, and try it now or after its backoff; or give up."""
        if not self._window.record():
            self._give_up(child)
            return
        child.attempt += 1
        delay = child.delay()
        if delay > 0:
            self._before_waiting(child)
            child.state = "restarting"
            self._retries.add(child, delay, counted=True)
        else:
            self._attempt(child)

    def _try_again(self, child: Child, error: ChildStartError) -> None:
        """An attempt failed: queue the next one behind the messages that wait."""
        logger.warning("%s: %s; trying again", self.actor_ref.name, error)
        child.state = "restarting"
        self._emit(RestartFailed, child.spec.id, error.reason)
        self._retries.add(child, 0.0, counted=False)

    def _retry(self, retry: Retry) -> None:
        if self._gave_up or not self._retries.take(retry):
            return
        if retry.counted:
            self._attempt(retry.child)
        else:
            self._restart(retry.child)

    def _give_up(self, child: Child) -> None:
        self._gave_up = True
        window = self._window
        logger.error(
            "%s gives up: child %r ended, and more than %d restarts in %g s are not allowed",
            self.actor_ref.name,
            child.spec.id,
            window.max_restarts,
            window.max_seconds,
        )
        self._emit(GaveUp, child.spec.id, window.max_restarts, window.max_seconds)
        self.stop(Shutdown())

    def _emit(self, kind: type[SupervisionEvent], child_id: Hashable, *details: Any) -> None:
        outside = observers()
        if self._on_event is None and not outside:
            return
        event = kind(self.actor_ref, child_id, *details)
        self._tell(event)
        for observer in outside:
            self._call(observer, event)

    def _tell(self, event: SupervisionEvent) -> None:
        if self._on_event is not None:
            self._call(self._on_event, event)

    def _call(self, listener: OnEvent, event: SupervisionEvent) -> None:
        try:
            listener(event)
        except BaseException:
            logger.exception("on_event of %s failed", self.actor_ref.name)

    def _which_children(self) -> list[ChildInfo]:
        return [child.info() for child in self._known()]

    def _count_children(self) -> ChildCounts:
        return kids.count(self._known())

    def _describe(self) -> list[tuple[ChildInfo, int]]:
        return [(child.info(), child.restarts) for child in self._known()]

    operations: ClassVar[Operations] = {
        "which_children": _which_children,
        "count_children": _count_children,
        "describe": _describe,
    }
    """What a `Request` may name. Subclasses add theirs."""
