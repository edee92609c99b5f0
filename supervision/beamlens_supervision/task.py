"""`Task`: a function that runs in a supervised actor, and what becomes of it."""

from __future__ import annotations

import contextvars
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from beamlens_actors import (
    Actor,
    ActorCrashed,
    ActorRef,
    AskTimeout,
    Crash,
    ExitReason,
    Future,
    Normal,
    ReplyError,
    SelfAsk,
    Shutdown,
    clock,
    current_actor,
)
from beamlens_actors.backends.threads import THREADS
from beamlens_supervision import children as kids
from beamlens_supervision.child_spec import shutdown_timeout
from beamlens_supervision.errors import TaskCancelled, TaskEnded, TaskTimeout
from beamlens_supervision.options import is_seconds, require

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from beamlens_actors.backends.kept import KeptThreads
    from beamlens_supervision.child_spec import Shutdown as ShutdownTime

T = TypeVar("T")

_NORMAL = Normal()
_CANCELLED = Shutdown("cancelled")
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
        if self.reason is _CANCELLED:
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


class Task(Generic[T]):
    """Handle of a running function, made by a `TaskSupervisor`. Any thread may wait for it, repeatedly."""

    def __init__(self, job: Job, ref: ActorRef[Any]) -> None:
        self._job = job
        self._outcome: Future[TaskResult[T]] = job.outcome
        self.ref = ref
        """The actor that runs it."""

    def __repr__(self) -> str:
        return f"<Task {self.name!r} {'done' if self.done() else 'running'}>"

    @property
    def name(self) -> str:
        """For display and logs, and the name of its thread."""
        return self.ref.name

    def done(self) -> bool:
        """Whether it has ended."""
        return self._outcome.done()

    def add_done_callback(self, fn: Callable[[Task[T]], object]) -> None:
        """Call `fn(task)` once it has ended, on the thread that ends it; at once, here, when it has."""
        if not self._outcome.add_done_callback(_Callback(fn, self)):
            fn(self)

    def remove_done_callback(self, fn: Callable[[Task[T]], object]) -> None:
        """Undo one `add_done_callback`. Fine when it was called, or never added."""
        self._outcome.remove_done_callback(_Callback(fn, self))

    def result(self, timeout: float | None = None) -> T:
        """Wait up to `timeout` seconds (`None`: for ever) and return what the function returned.

        Raises:
            TaskTimeout: it runs on; a later call may get the result.
            SelfAsk: a task waits for itself.
            TaskEnded: it was stopped or killed, or its supervisor ended (`TaskCancelled`: it was cancelled).
            ActorCrashed: the function raised something that is no `Exception`.
            Exception: what the function raised.
        """
        outcome = self.poll(timeout)
        if outcome is None:
            raise TaskTimeout(f"{self.name} has no result after {timeout} s")
        return outcome.get()

    def poll(self, timeout: float | None = 0.0) -> TaskResult[T] | None:
        """How it ended, or `None` when it still runs after `timeout` seconds."""
        try:
            return self._wait(timeout)
        except AskTimeout:
            return None

    def outcome(self) -> TaskResult[T]:
        """How it ended; waits for that."""
        return self._wait(None)

    def _wait(self, timeout: float | None) -> TaskResult[T]:
        if timeout != 0 and not self._outcome.done() and current_actor() is self.ref:
            raise SelfAsk(f"{self.name} would wait for its own result")
        return self._outcome.get(timeout=timeout)

    def shutdown(self, timeout: float | Literal["brutal_kill"] = 5.0) -> TaskResult[T] | None:
        """End it and wait for that: ask, and kill it after `timeout` seconds; `"brutal_kill"` does not ask.

        A thread in the middle of the function cannot be interrupted: it gets that time to return, then is
        abandoned.

        Returns:
            its result when it has one by then, `None` when it ended as asked, else how it ended.

        Raises:
            InvalidSupervisorOption: `timeout` is neither seconds nor `"brutal_kill"`; it runs on.
        """
        expected = '"brutal_kill" or a number of seconds that is not negative'
        require(timeout == "brutal_kill" or is_seconds(timeout), "timeout", timeout, expected)
        self.unlink()
        kids.end(self.ref, _limit(timeout))
        outcome = self.outcome()
        return None if isinstance(outcome.reason, Shutdown) else outcome

    def cancel(self) -> bool:
        """End it without waiting: who waits gets `TaskCancelled` at once, its thread its `shutdown` time.

        Returns:
            True, or False when it had ended before.
        """
        if not self._outcome.resolve(TaskResult(reason=_CANCELLED)):
            return False
        self.unlink()
        end_later(self.ref, _CANCELLED, self._job.grace)
        return True

    def ignore(self) -> TaskResult[T] | None:
        """Let it run on for its effects: neither its end nor its caller's takes the other along any more.

        Returns:
            how it ended when it has, else `None`.
        """
        self.unlink()
        return self.poll()

    def unlink(self) -> None:
        """Part it from its caller, whom its end shall not end; used before it is ended on purpose."""
        owner, self._job.owner = self._job.owner, None
        if owner is not None:
            self.ref.unlink(owner)

    def settle(self, reason: ExitReason) -> None:
        """Tell who waits that it ended for `reason`, unless they were told; used by who has ended it."""
        self._job.settle(reason)

    def __await__(self) -> Generator[Any, None, T]:
        outcome = yield from self._outcome.__await__()
        return outcome.get()


@dataclass(frozen=True, slots=True)
class _Callback:
    """`fn(task)`, equal to another of the same, so that it can be found again."""

    fn: Callable[[Task[Any]], object]
    task: Task[Any]

    def __call__(self) -> None:
        self.fn(self.task)


def _limit(timeout: float | Literal["brutal_kill"]) -> float | None:
    if timeout == "brutal_kill":
        return 0.0
    return None if timeout == math.inf else timeout


def end_later(ref: ActorRef[Any], reason: ExitReason, grace: float | None) -> None:
    """Ask `ref` to end and kill it in `grace` seconds (`None`: never), without waiting for either."""
    if grace == 0:
        ref.kill()
        return
    ref.stop(reason, block=False)
    if grace is not None:
        timer = clock.call_later(grace, ref.kill)
        ref.add_exit_callback(lambda _ref, _reason: timer.cancel())
