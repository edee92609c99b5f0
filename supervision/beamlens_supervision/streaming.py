"""Running a function over many items, a bounded number at a time."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar, get_args

from beamlens_actors import Killed, clock, current_actor
from beamlens_actors.waiting import Condition
from beamlens_supervision.errors import TaskTimeout
from beamlens_supervision.job import TaskResult
from beamlens_supervision.options import check_choice, check_timeout, is_whole, require
from beamlens_supervision.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

OnTimeout: TypeAlias = Literal["raise", "kill"]

BUFFERED_PER_TASK = 4
"""Results of an ordered stream that wait for a slower, earlier one, for each task that may run."""


class Stream(Generic[T]):
    """The state of one stream: what runs, what has ended, and what was yielded."""

    def __init__(
        self,
        run: Callable[[Any], Task[T]],
        items: Iterable[Any],
        max_concurrency: int,
        *,
        ordered: bool,
        timeout: float | None,
        on_timeout: OnTimeout,
    ) -> None:
        """Prepare to `run` each of `items`; nothing is started yet.

        Raises:
            InvalidSupervisorOption: an argument cannot be.
        """
        concurrency = is_whole(max_concurrency, 1)
        require(concurrency, "max_concurrency", max_concurrency, "a whole number of at least 1")
        check_choice("on_timeout", on_timeout, get_args(OnTimeout))
        check_timeout("timeout", timeout)
        require(isinstance(items, Iterable), "items", items, "something to iterate over")
        self._run = run
        self._items = enumerate(items)
        self._width = max_concurrency
        self._ordered = ordered
        self._timeout = math.inf if timeout is None else timeout
        self._on_timeout = on_timeout
        self._changed = Condition()
        self._finished: list[int] = []
        self._running: dict[int, tuple[Task[T], float]] = {}
        self._results: dict[int, TaskResult[T]] = {}
        self._next = 0
        self._closed = threading.Event()

    def results(self) -> Iterator[TaskResult[T]]:
        """Run, and yield how each item ended. Ends what still runs when it is closed early, or its actor ends."""
        owner = current_actor()
        # A consumer that is killed while it waits here cannot close anything: its thread is left behind in the wait.
        forget = None if owner is None else owner.add_exit_callback(lambda _ref, _reason: self._close())
        try:
            self._fill()
            while self._running or self._results:
                if (index := self._ready()) is not None:
                    self._next += 1
                    yield self._results.pop(index)
                else:
                    self._collect()
                self._fill()
        finally:
            if forget is not None:
                forget()
            self._close()

    def _close(self) -> None:
        self._closed.set()
        for task, _ in list(self._running.values()):
            task.cancel()

    def _has_room(self) -> bool:
        running, most = len(self._running), self._width * BUFFERED_PER_TASK
        return running < self._width and running + len(self._results) < most

    def _fill(self) -> None:
        while self._has_room() and not self._closed.is_set():
            entry = next(self._items, None)
            if entry is None:
                return
            index, item = entry
            task = self._run(item)
            self._running[index] = (task, clock.monotonic() + self._timeout)
            task.add_done_callback(partial(self._note, index))
            if self._closed.is_set():  # just now, by its actor's end
                task.cancel()

    def _note(self, index: int, _task: Task[T]) -> None:
        with self._changed:
            self._finished.append(index)
            self._changed.notify()

    def _ready(self) -> int | None:
        if self._ordered:
            return self._next if self._next in self._results else None
        return next(iter(self._results), None)

    def _collect(self) -> None:
        """Wait until at least one has ended, or is out of time."""
        first = min(deadline for _, deadline in self._running.values())
        with self._changed:
            left = None if first == math.inf else clock.remaining(first)
            self._changed.wait_until(lambda: self._finished, left)
            finished, self._finished = self._finished, []
        for index in finished:
            # One that was killed when its time was up is no longer in there.
            if (entry := self._running.pop(index, None)) is not None:
                self._results[index] = entry[0].outcome()
        self._end_late_ones()

    def _end_late_ones(self) -> None:
        now = clock.monotonic()
        late = [index for index, (_, deadline) in self._running.items() if deadline <= now]
        if late and self._on_timeout == "raise":
            raise TaskTimeout(f"item {late[0]} has no result after {self._timeout} s")
        for index in late:
            task, _ = self._running.pop(index)
            self._results[index] = task.shutdown("brutal_kill") or TaskResult(reason=Killed())
