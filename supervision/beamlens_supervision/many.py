"""Waiting for several tasks at once."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

from beamlens_actors import Killed, clock
from beamlens_actors.waiting import Condition
from beamlens_supervision import children as kids
from beamlens_supervision.errors import TaskTimeout
from beamlens_supervision.job import TaskResult
from beamlens_supervision.options import check_choice, check_timeout, is_whole, require
from beamlens_supervision.task import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")

OnLate: TypeAlias = Literal["leave", "ignore", "kill"]


class _Endings:
    """Yields the numbers of tasks as they end."""

    def __init__(self, tasks: list[Task[Any]], timeout: float | None) -> None:
        self._tasks = tasks
        self._deadline = None if timeout is None else clock.monotonic() + timeout
        self._changed = Condition()
        self._ended: deque[int] = deque()
        self._callbacks = [partial(self._note, number) for number in range(len(tasks))]

    def __iter__(self) -> Iterator[int]:
        """Until all have ended, or the time is up."""
        try:
            for task, callback in zip(self._tasks, self._callbacks, strict=True):
                task.add_done_callback(callback)
            for _ in self._tasks:
                with self._changed:
                    if not self._changed.wait_until(lambda: self._ended, clock.remaining(self._deadline)):
                        return
                yield self._ended.popleft()
        finally:
            for task, callback in zip(self._tasks, self._callbacks, strict=True):
                task.remove_done_callback(callback)

    def _note(self, number: int, _task: Task[Any]) -> None:
        with self._changed:
            self._ended.append(number)
            self._changed.notify()


def await_many(tasks: Iterable[Task[T]], timeout: float | None = None) -> list[T]:
    """Wait for all and return their values in the order of `tasks`.

    The first that fails, whichever that is, ends the wait at once. The others run on.

    Args:
        tasks: of any supervisors.
        timeout: seconds for all together; `None` waits for ever.

    Raises:
        InvalidSupervisorOption: an argument cannot be; nothing was waited for.
        TaskTimeout: some have no result yet; they run on, and may be asked again.
        TaskEnded: one was stopped or killed (`TaskCancelled`: cancelled).
        ActorCrashed: the function of one raised something that is no `Exception`.
        Exception: what the function of one raised.
    """
    known = _collect(tasks)
    check_timeout("timeout", timeout)
    values: dict[int, T] = {}
    for number in _Endings(known, timeout):
        values[number] = known[number].outcome().get()
    if len(values) < len(known):
        late = next(task.name for number, task in enumerate(known) if number not in values)
        raise TaskTimeout(f"{len(known) - len(values)} of {len(known)} tasks, {late} first, took over {timeout} s")
    return [values[number] for number in range(len(known))]


def yield_many(
    tasks: Iterable[Task[T]],
    timeout: float | None = 5.0,
    *,
    limit: int | None = None,
    on_timeout: OnLate = "leave",
) -> list[TaskResult[T] | None]:
    """How each ended, in the order of `tasks`; `None` for those that run on when the time is up.

    Args:
        tasks: of any supervisors.
        timeout: seconds for all together; `None` waits for ever.
        limit: return once so many have ended; `None` waits for all.
        on_timeout: what becomes of those that are late: `leave` lets them be, so that they may be asked again;
            `ignore` unlinks them from their callers too (see `Task.ignore`); `kill` kills them, and their place in
            the list says so.

    Raises:
        InvalidSupervisorOption: an argument cannot be; nothing was waited for.
    """
    known = _collect(tasks)
    check_timeout("timeout", timeout)
    check_choice("on_timeout", on_timeout, get_args(OnLate))
    require(limit is None or is_whole(limit, 1), "limit", limit, "None or a whole number of at least 1")
    for ended, _ in enumerate(_Endings(known, timeout), start=1):
        if ended == limit:
            break
    late = [task for task in known if not task.done()]
    if on_timeout == "kill":
        _kill(late)
    elif on_timeout == "ignore":
        for task in late:
            task.ignore()
    return [task.poll() for task in known]


def _kill(tasks: list[Task[Any]]) -> None:
    for task in tasks:
        task.unlink()
    kids.end_all({task.ref: 0.0 for task in tasks})
    for task in tasks:
        task.settle(Killed())


def _collect(tasks: Iterable[Task[T]]) -> list[Task[T]]:
    known = list(tasks)
    for task in known:
        require(isinstance(task, Task), "tasks", task, "tasks only")
    return known
