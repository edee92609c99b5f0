"""`TaskSupervisor`: runs functions in actors of their own."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from beamlens_actors import ActorRef
from beamlens_supervision.child_spec import WORKER_SHUTDOWN, ChildSpec, Restart, Shutdown, check_shutdown
from beamlens_supervision.dynamic import DynamicSupervisor
from beamlens_supervision.job import FunctionActor, Job, TaskResult
from beamlens_supervision.options import check_name, require
from beamlens_supervision.refs import DynamicSupervisorRef
from beamlens_supervision.roster import NEWS, Roster
from beamlens_supervision.streaming import OnTimeout, Stream
from beamlens_supervision.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from beamlens_actors import ExitReason
    from beamlens_supervision.children import Child
    from beamlens_supervision.events import OnEvent
    from beamlens_supervision.parent import Operations

T = TypeVar("T")


class TaskSupervisorRef(DynamicSupervisorRef):
    """What `TaskSupervisor.start` returns."""

    roster: Roster
    """The supervisor's record of its tasks: whoever wants one starts it there, and asks nobody."""

    def run(
        self, fn: Callable[..., T], *args: Any, name: str | None = None, shutdown: Shutdown = WORKER_SHUTDOWN
    ) -> Task[T]:
        """Run `fn(*args)` in a task linked to the calling actor; from a plain thread it is not linked.

        If it fails, its caller ends too unless that traps exits; if its caller fails, it ends too. It runs in
        a copy of the caller's context variables.

        Args:
            fn: what to run.
            args: its arguments.
            name: the task's name, for display, logs and the thread.
            shutdown: seconds `fn` gets to return once the task is to end; then its thread is abandoned.

        Raises:
            InvalidSupervisorOption: `fn` cannot be called, or `name` is no name.
            MaxChildren: as many tasks run as are allowed.
            ChildStartError: there is no thread for it.
        """
        return self._run(fn, args, name, shutdown, linked=True)

    def run_nolink(
        self, fn: Callable[..., T], *args: Any, name: str | None = None, shutdown: Shutdown = WORKER_SHUTDOWN
    ) -> Task[T]:
        """`run` without the link: neither end takes the other along."""
        return self._run(fn, args, name, shutdown, linked=False)

    def _run(
        self,
        fn: Callable[..., T],
        args: tuple[Any, ...],
        name: str | None,
        shutdown: Shutdown,
        *,
        linked: bool,
    ) -> Task[T]:
        name = _checked(fn, name)
        check_shutdown(shutdown)
        if not self.is_alive():
            raise self._cell.dead()
        job = Job(fn, args, name, shutdown, linked=linked)
        return Task(job, self.roster.start(job))

    def start_child(  # type: ignore[override]
        self,
        fn: Callable[..., object],
        *args: Any,
        restart: Restart = "temporary",
        name: str | None = None,
        shutdown: Shutdown = WORKER_SHUTDOWN,
    ) -> ActorRef[Any]:
        """Run `fn(*args)` for its effects, restarted as `restart` says, and return the ref of its actor.

        Raises:
            InvalidSupervisorOption: `fn` cannot be called, or `name` is no name.
            MaxChildren: as many tasks run as are allowed.
            ChildStartError: there is no thread for it.
        """
        name = _checked(fn, name)
        start = FunctionActor.options(name=name).start
        ref: ActorRef[Any] = self._request(
            "start_child", ChildSpec(name, start, (fn, args), restart=restart, shutdown=shutdown)
        )
        return ref

    def stream(
        self,
        fn: Callable[[Any], T],
        items: Iterable[Any],
        max_concurrency: int | None = None,
        *,
        ordered: bool = True,
        timeout: float | None = None,
        on_timeout: OnTimeout = "raise",
    ) -> Iterator[TaskResult[T]]:
        """Run `fn(item)` for each of `items` in unlinked tasks and yield how each ended.

        What still runs is cancelled when the iteration stops early (`close`, an error of `items`, `TaskTimeout`), and
        when the actor that iterates ends.

        Args:
            fn: what to run.
            items: taken as there is room for them.
            max_concurrency: how many may run at a time; by default the number of CPUs.
            ordered: yield in the order of the items, else as they end.
            timeout: seconds for each item.
            on_timeout: `raise` ends the stream with `TaskTimeout`, `kill` yields `Killed()` for the item.

        Raises:
            InvalidSupervisorOption: an option is wrong.
            TaskTimeout: while iterating, see `on_timeout`.
            MaxChildren: while iterating: the supervisor has no room for as many at a time.
        """
        _checked(fn, None)
        return Stream(
            lambda item: self.run_nolink(fn, item, name=_name_of(fn)),
            items,
            (os.cpu_count() or 1) if max_concurrency is None else max_concurrency,
            ordered=ordered,
            timeout=timeout,
            on_timeout=on_timeout,
        ).results()


class TaskSupervisor(DynamicSupervisor):
    """Runs functions as tasks. When it ends, who waits for one is told at once, whatever its thread does.

    A task is started on the thread that asks for it, so a supervisor that is busy holds up none. On `threads` a task
    may run on the thread of one that has ended; see `KeptThreads` for what the two share.
    """

    _beamlens_ref_class = TaskSupervisorRef

    @classmethod
    def start(  # type: ignore[override]
        cls,
        max_children: float = math.inf,
        backend: str | None = None,
        *,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        name: str | None = None,
        on_event: OnEvent | None = None,
    ) -> TaskSupervisorRef:
        """Start a supervisor of tasks.

        Args:
            max_children: how many tasks may run at a time.
            backend: what it and its tasks run on; by default that of the calling actor, else the process's.
                Functions that block belong on `threads`.
            max_restarts: as for `DynamicSupervisor`; counts only what `start_child` restarts.
            max_seconds: the length of that window.
            name: for display and logs.
            on_event: is called with each `SupervisionEvent`, in the supervisor.

        Raises:
            InvalidSupervisorOption: an option is wrong.
        """
        ref = cls._launcher(name, backend).start(max_children, max_restarts, max_seconds, on_event=on_event)
        return cast("TaskSupervisorRef", ref)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        backend, telling = self._beamlens_cell.backend.name, self._on_event is not None
        self._roster = Roster(self.actor_ref, backend, self._max_children, telling=telling)
        cast("TaskSupervisorRef", self.actor_ref).roster = self._roster
        self._left: list[Child] | None = None

    def on_start(self) -> None:  # noqa: D102
        # For one that is killed while busy, whose on_terminate comes late or never; elsewhere they have ended by then.
        self.actor_ref.add_exit_callback(lambda _ref, reason: self._abandon(reason))

    def _abandon(self, reason: ExitReason) -> None:
        for child in self._roster.close(reason):
            if child.ref is not None:
                child.ref.exit(reason)
        self._roster.let_threads_go()

    def on_receive(self, message: Any) -> Any:  # noqa: D102
        self._tell_news()
        return None if message is NEWS else super().on_receive(message)

    def on_terminate(self, reason: ExitReason) -> None:  # noqa: D102
        self._left = self._roster.close(reason)
        self._tell_news()
        super().on_terminate(reason)
        self._roster.let_threads_go(join=True)

    def _tell_news(self) -> None:
        while (event := self._roster.take_news()) is not None:
            self._tell(event)

    def _known(self) -> Iterable[Child]:
        tasks = self._roster.running() if self._left is None else self._left
        return [*super()._known(), *tasks]

    def _start_child(self, spec: ChildSpec, *first_args: Any) -> Any:
        self._roster.take_place()
        try:
            return super()._start_child(spec, *first_args)
        except BaseException:
            self._roster.give_back()
            raise

    def _forget(self, child: Child) -> None:
        super()._forget(child)
        self._roster.give_back()

    def _terminate_child(self, ref: ActorRef[Any]) -> None:
        task = self._roster.strike(ref) if isinstance(ref, ActorRef) else None
        if task is None:
            super()._terminate_child(ref)
        else:
            self._end_one(task)

    operations: ClassVar[Operations] = {
        **DynamicSupervisor.operations,
        "start_child": _start_child,
        "terminate_child": _terminate_child,
    }


def _checked(fn: Callable[..., object], name: str | None) -> str:
    """The name of a task for `fn`, once both are known to be what they should.

    Raises:
        InvalidSupervisorOption: they are not.
    """
    require(callable(fn), "fn", fn, "callable")
    check_name(name)
    return name or _name_of(fn)


def _name_of(fn: Callable[..., object]) -> str:
    return f"task:{getattr(fn, '__qualname__', type(fn).__qualname__)}"
