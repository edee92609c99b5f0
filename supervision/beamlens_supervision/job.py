"""`Job`: a function that is to run, the actors that run one, and how it ended."""

from __future__ import annotations

import contextvars
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from beamlens_actors import (
    Actor,
    ActorCrashed,
    ActorRef,
    Crash,
    ExitReason,
    Future,
    Normal,
    ReplyError,
    Shutdown,
    clock,
    current_actor,
)
from beamlens_actors.backends.threads import THREADS
from beamlens_supervision.child_spec import shutdown_timeout
from beamlens_supervision.errors import TaskCancelled, TaskEnded

if TYPE_CHECKING:
    from collections.abc import Callable

    from beamlens_actors.backends.kept import KeptThreads
    from beamlens_supervision.child_spec import Shutdown as ShutdownTime

T = TypeVar("T")

CANCELLED = Shutdown("cancelled")
"""The reason of a task that was cancelled: this very object."""

_NORMAL = Normal()
_GO = object()
_callers: contextvars.ContextVar[tuple[ActorRef[Any], ...]] = contextvars.ContextVar("callers", default=())


def callers() -> tuple[ActorRef[Any], ...]:
    """In a task: the actors it runs for, the nearest first; tasks that started it are such actors too."""
    return _callers.get()


@dataclass(frozen=True, slots=True)
class TaskResult(Generic[T]):
    """How a task ended.

    Attributes:
        value: what its function returned; `None` when it did not.
        reason: `Normal()` when it returned, else why there is no value.
    """

    value: T | None = None
    reason: ExitReason = _NORMAL

    @property
    def ok(self) -> bool:
        """Whether the function returned."""
        return isinstance(self.reason, Normal)

    def get(self) -> T:
        """The value.

        Raises:
            TaskEnded: there is none (`TaskCancelled` when it was cancelled).
            ActorCrashed: the function raised something that is no `Exception`.
            Exception: what the function raised.
        """
        if self.ok:
            return cast("T", self.value)
        if isinstance(self.reason, Crash):
            error = self.reason.exception
            raise error if isinstance(error, Exception) else ActorCrashed(error)
        if self.reason is CANCELLED:
            raise TaskCancelled(self.reason)
        raise TaskEnded(self.reason)


class Job:
    """One function to run, shared by the task's handle and the actor that runs it."""

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        name: str,
        shutdown: ShutdownTime = None,
        *,
        linked: bool = False,
    ) -> None:
        caller = current_actor()
        self.owner = caller if linked else None
        self.outcome: Future[TaskResult[Any]] = Future()
        self.name = name
        self.shutdown: ShutdownTime = shutdown
        self._call: partial[Any] | None = partial(fn, *args)
        self._returned: TaskResult[Any] | None = None
        self._context = contextvars.copy_context()
        if caller is not None:
            self._context.run(_callers.set, (caller, *_callers.get()))

    @property
    def grace(self) -> float | None:
        """Seconds its function gets to return once it is to end, `None` for ever."""
        return shutdown_timeout(self.shutdown)

    def run(self) -> None:
        """Call the function in its caller's context; what it returns is known once its actor has ended."""
        # Let go of: who keeps the handle for the result keeps neither the arguments nor, often, itself.
        call, self._call = self._call, None
        if call is not None:
            self._returned = TaskResult(self._context.run(call))

    def settle(self, reason: ExitReason) -> bool:
        """Tell who waits what became of it; only the first call counts, and returns True."""
        return self.outcome.resolve(self._returned or TaskResult(reason=reason))


class TaskActor(Actor):
    """Runs one `Job` and ends. It has no `on_start`, so that nobody waits for its thread to begin."""

    def __init__(self, job: Job, threads: KeptThreads | None = None) -> None:
        super().__init__()
        self._job = job
        self._threads = threads
        self.actor_ref.tell(_GO)

    def _start_actor_loop(self) -> None:
        if self._threads is None:
            super()._start_actor_loop()
        else:
            THREADS.start(self._beamlens_cell, self._threads.errand)

    def on_receive(self, message: Any) -> None:  # noqa: D102
        if message is _GO:
            _call(self._job.run)
            self.stop()


class LinkedTaskActor(TaskActor):
    """A `TaskActor` that is linked to its caller before its function begins."""

    def on_start(self) -> None:  # noqa: D102
        if self._job.owner is not None:
            self._follow(self._job.owner)

    def _follow(self, owner: ActorRef[Any]) -> None:
        ref, job = self.actor_ref, self._job
        self.link(owner)

        def owner_ended(_owner: ActorRef[Any], reason: ExitReason) -> None:
            # The link ends a task between two messages only; this one is in the middle of its function.
            if job.owner is not None and not isinstance(reason, Normal):
                job.settle(reason)
                end_later(ref, reason, job.grace)

        forget = owner.add_exit_callback(owner_ended)
        ref.add_exit_callback(lambda _ref, _reason: forget())


class FunctionActor(Actor):
    """Runs a function that nobody waits for, and ends; a restart makes a new one."""

    def __init__(self, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        super().__init__()
        self._fn = fn
        self._args = args
        self.actor_ref.tell(_GO)

    def on_receive(self, message: Any) -> None:  # noqa: D102
        if message is _GO:
            _call(self._fn, *self._args)
            self.stop()


def _call(fn: Callable[..., object], *args: object) -> None:
    try:
        fn(*args)
    except ReplyError as refusal:
        # In an actor this would answer and go on; here nobody asked, and it would never end.
        raise refusal.error from refusal


def end_later(ref: ActorRef[Any], reason: ExitReason, grace: float | None) -> None:
    """Ask `ref` to end and kill it in `grace` seconds (`None`: never), without waiting for either."""
    if grace == 0:
        ref.kill()
        return
    ref.stop(reason, block=False)
    if grace is not None:
        timer = clock.call_later(grace, ref.kill)
        ref.add_exit_callback(lambda _ref, _reason: timer.cancel())
