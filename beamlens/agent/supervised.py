"""Blocking work in a supervised task, given up at a deadline or on abort."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from beamlens_actors import Aborted, AbortSignal, clock
from beamlens_actors.context import make_token

if TYPE_CHECKING:
    from beamlens_supervision import Task, TaskSupervisorRef

T = TypeVar("T")

GRACE = 0.2
"""Seconds that work which was aborted gets to return by itself; then its thread is abandoned."""


class Supervised(Generic[T]):
    """A call that runs in a task of its own.

    What it raises is kept, not logged: its caller decides what a failure means.
    """

    def __init__(
        self, tasks: TaskSupervisorRef, fn: Callable[[], T], name: str, on_done: Callable[[], object] | None = None
    ) -> None:
        """Start `fn()`.

        Args:
            tasks: Where it runs.
            fn: What to run.
            name: Its task's name.
            on_done: Is called once it has ended, in whatever way; any thread.

        Raises:
            ActorDead: The task supervisor is being restarted.
            ChildStartError: There is no thread for it.
        """
        self.began = clock.monotonic()
        self.raised: Exception | None = None
        """What it raised, once it has ended."""
        self._task: Task[T | None] = tasks.run_nolink(self._call, fn, name=name, shutdown=GRACE)
        if on_done is not None:
            self._task.add_done_callback(lambda _task: on_done())

    def _call(self, fn: Callable[[], T]) -> T | None:
        try:
            return fn()
        except Exception as error:  # noqa: BLE001 - handed over to whoever waits
            self.raised = error
            return None

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._task.done()

    def error(self) -> Exception | None:
        """Once it has ended: what it raised, or why its task has no value; ``None`` when it returned."""
        if self.raised is not None:
            return self.raised
        try:
            self._task.outcome().get()
        except Exception as error:  # noqa: BLE001 - returned
            return error
        return None

    def value(self) -> T:
        """Once it has ended without error: what it returned."""
        value: Any = self._task.outcome().value
        return value  # type: ignore[no-any-return]

    def give_up(self, *, kill: bool = False) -> None:
        """End it: who waits is told at once; its thread gets its grace (`kill`: none) and then is abandoned."""
        if kill:
            self._task.shutdown("brutal_kill")
        else:
            self._task.cancel()

    def result(self, timeout: float | None, abort: AbortSignal) -> T:
        """Wait for its value.

        Args:
            timeout: Seconds since its start after which it is given up: its thread is abandoned.
            abort: Gives it up too.

        Raises:
            TimeoutError: It took too long.
            Aborted: The signal fired.
            TaskEnded: Its task was killed, or its supervisor ended.
            Exception: What it raised.
        """
        token = make_token()
        wake = partial(clock.release, token)
        take_back = abort.on_abort(wake)
        try:
            self._task.add_done_callback(lambda _task: wake())
            clock.acquire(token, None if timeout is None else max(0.0, self.began + timeout - clock.monotonic()))
        finally:
            take_back()
        ended = self._task.poll()
        if ended is None:
            if abort.aborted:
                self._task.shutdown(GRACE)
                raise Aborted(abort.reason)
            self._task.shutdown("brutal_kill")
            raise TimeoutError(f"gave up after {timeout:g} s")
        value: Any = ended.get()
        if self.raised is not None:
            raise self.raised
        return value  # type: ignore[no-any-return]


__all__ = ["Aborted", "Supervised"]
