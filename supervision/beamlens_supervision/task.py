"""`Task`: the handle of a function that runs in a supervised actor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from beamlens_actors import ActorRef, AskTimeout, ExitReason, Future, SelfAsk, Shutdown, current_actor
from beamlens_supervision import children as kids
from beamlens_supervision.errors import TaskTimeout
from beamlens_supervision.job import CANCELLED, Job, TaskResult, end_later
from beamlens_supervision.options import is_seconds, require

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")


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
        if not self._outcome.resolve(TaskResult(reason=CANCELLED)):
            return False
        self.unlink()
        end_later(self.ref, CANCELLED, self._job.grace)
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
