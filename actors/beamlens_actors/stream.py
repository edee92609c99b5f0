"""`EventStream`: a bounded, cancellable queue of events with one end, between any threads and event loops."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Self, get_args

from beamlens_actors import clock
from beamlens_actors.errors import InvalidOption, ResultTimeout
from beamlens_actors.ref import ActorRef
from beamlens_actors.stream_events import (
    PushResult,
    StreamCancelled,
    StreamEnd,
    StreamError,
    StreamStats,
    StreamTerminal,
)
from beamlens_actors.stream_queue import NOTHING, OVER, StreamOverflow, StreamQueue
from beamlens_actors.stream_tasks import Attachment, StreamTask, attachment
from beamlens_actors.waiters import async_waiter, thread_waiter

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from beamlens_actors.abort import AbortSignal
    from beamlens_actors.reasons import ExitReason

DEFAULT_CAPACITY = 10_000
DEFAULT_TIMEOUT = 300.0


class EventStream:
    """Events from any number of producers to any number of consumers, then one terminal event.

    Iterate it: threads and actors with `for`, asyncio tasks with `async for` (`for` and `result` would block
    their event loop). Consumers compete: each event goes to exactly one, oldest first, and so does the
    terminal one (`StreamEnd`, `StreamError` or `StreamCancelled`), which comes last and ends every iteration.
    What was buffered before the end is still handed out.

    The first of `complete`, `error` and `cancel` counts; each returns whether it was that.
    """

    def __init__(
        self,
        owner: ActorRef[Any] | None = None,
        capacity: int = DEFAULT_CAPACITY,
        overflow: StreamOverflow = "reject",
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> None:
        """Make an open stream.

        Args:
            owner: an actor whose end, of whatever kind, cancels the stream with `"owner_down"`.
            capacity: the most events that wait, at least 1.
            overflow: what happens to one more: `reject` answers the push with `overflow`, `drop_oldest` and
                `drop_newest` lose one; all three count it.
            timeout: seconds from now, idle or not, after which it is cancelled with `"timeout"`; `None` or
                infinity: never.

        Raises:
            InvalidOption: a value that cannot be.
        """
        _check_options(owner, capacity, overflow, timeout)
        self._queue = StreamQueue(capacity, overflow)
        self._task: Attachment | None = None
        self._ties: dict[str, Callable[[], object]] = {}
        # Whom it hears from knows it weakly, and must not keep a callback for each stream that ever was.
        weakref.finalize(self, _untie, self._ties).atexit = False
        _streams.add(self)
        cancel = _weakly(self.cancel)
        if owner is not None:
            self._tie("owner", owner.add_exit_callback(lambda _ref, _reason: cancel("owner_down")))
        if timeout is not None and timeout <= threading.TIMEOUT_MAX:
            self._tie("timer", clock.call_later(timeout, lambda: cancel("timeout")).cancel)

    def __repr__(self) -> str:
        stats = self.stats()
        return f"<EventStream {self.end or 'open'}, {stats.size} of {stats.capacity} events>"

    @property
    def end(self) -> StreamTerminal | None:
        """The terminal event, taken or not; `None` while the stream is open."""
        return self._queue.end

    def stats(self) -> StreamStats:
        """Its numbers; see `StreamStats`. A refused event counts as dropped."""
        return self._queue.stats()

    # -- for producers ---------------------------------------------------------------------------------------

    def push(self, event: object) -> PushResult:
        """Add `event`; never blocks. Terminal events pushed this way are events like any other."""
        return self._queue.push(event)

    def wait_for_room(self, timeout: float | None = None) -> bool:
        """Wait, on a thread or in an actor, until a push would lose nothing. Another producer may be faster.

        Args:
            timeout: Seconds; `None`: until there is room, or an end.

        Returns:
            Whether there is room; True as well when the stream has ended.
        """
        deadline = None if timeout is None else clock.monotonic() + timeout
        while not self._queue.has_room():
            left = None if deadline is None else deadline - clock.monotonic()
            if left is not None and left <= 0:
                return False
            waiter, token = thread_waiter()
            try:
                self._queue.await_room(waiter)
                clock.acquire(token, left)
            finally:
                self._queue.leave_room(waiter)
        return True

    def complete(self, result: object = None) -> bool:
        """End the stream well, with `result`."""
        return self._finish(StreamEnd(result))

    def error(self, reason: object, partial: object = None) -> bool:
        """End the stream because its producer failed, with what that had by then."""
        return self._finish(StreamError(reason, partial))

    def cancel(self, reason: object = "cancelled") -> bool:
        """End the stream because nobody wants the rest; the attached task is told to stop."""
        return self._finish(StreamCancelled(reason))

    def attach_task(
        self, task: ActorRef[Any] | asyncio.Future[Any] | StreamTask, signal: AbortSignal | None = None
    ) -> None:
        """Tie the producer to the stream, in place of the one attached before.

        Should it end, in whatever way, before the stream does, that is the error `"task_crashed"`. When the
        stream is cancelled (at once when it was), its signal is aborted, then it is told to stop, and after
        0.1 s it is killed. An `asyncio.Task` cannot be killed: it is cancelled, after that time if it has a
        signal.

        Args:
            task: what produces.
            signal: what it watches; by default its `abort_signal`, if it has one.

        Raises:
            InvalidOption: `task` is nothing that can be attached.
        """
        new = attachment(task, signal)
        old = None
        with self._queue.lock:
            end = self.end
            if end is None:
                self._task = new
                old = self._ties.pop("task", None)
        if old is not None:
            old()
        if end is None:
            task_ended = _weakly(self._task_ended)
            self._tie("task", new.watch(lambda reason: task_ended(new, reason)), new)
        elif isinstance(end, StreamCancelled):
            new.stop(end.reason)

    # -- for consumers ---------------------------------------------------------------------------------------

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        event = self._queue.take()
        while event is NOTHING:
            waiter, token = thread_waiter()
            try:
                self._queue.enter(waiter)
                clock.acquire(token)
                event = self._queue.take(waiter)
            finally:
                self._queue.leave(waiter)
        if event is OVER:
            raise StopIteration
        return event

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        event = self._queue.take()
        while event is NOTHING:
            waiter, woken = async_waiter()
            try:
                self._queue.enter(waiter)
                await woken.wait()
                event = self._queue.take(waiter)
            finally:
                self._queue.leave(waiter)
        if event is OVER:
            raise StopAsyncIteration
        return event

    def result(self, timeout: float | None = None) -> Any:
        """Wait up to `timeout` seconds (`None`: for ever) for the end, taking no event, and return its result.

        Raises:
            ResultTimeout: the stream is still open.
            StreamFailed: it ended with an error (`StreamCancelledError`: it was cancelled).
        """
        if self.end is None:
            waiter, token = thread_waiter()
            try:
                self._queue.await_end(waiter)
                clock.acquire(token, timeout)
            finally:
                self._queue.forget(waiter)
        return self._outcome(timeout)

    async def result_async(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """`result` for asyncio: waits without blocking the event loop, and raises the same errors."""
        if self.end is None and (timeout is None or timeout > 0):
            waiter, woken = async_waiter()
            timer = None if timeout is None else clock.call_later(timeout, waiter.wake)
            try:
                self._queue.await_end(waiter)
                await woken.wait()
            finally:
                self._queue.forget(waiter)
                if timer is not None:
                    timer.cancel()
        return self._outcome(timeout)

    def _outcome(self, timeout: float | None) -> Any:
        if self.end is None:
            raise ResultTimeout(f"the stream is still open after {timeout} s")
        return self.end.value()

    # -- the end ---------------------------------------------------------------------------------------------

    def _finish(self, end: StreamTerminal, only_of: Attachment | None = None) -> bool:
        with self._queue.lock:
            if only_of is not None and self._task is not only_of:
                return False
            dropped = self._queue.close(end)
            if dropped is None:
                return False
            task, self._task = self._task, None
        _untie(self._ties)
        if task is not None and isinstance(end, StreamCancelled):
            task.stop(end.reason)
        return True

    def _task_ended(self, task: Attachment, reason: ExitReason | None) -> None:
        self._finish(StreamError("task_crashed", None, reason), only_of=task)

    def _tie(self, key: str, undo: Callable[[], object], task: Attachment | None = None) -> None:
        # It may have ended, or got another task, while the tie was made.
        with self._queue.lock:
            if self.end is None and (task is None or self._task is task):
                self._ties[key] = undo
                return
        undo()

    def _lost_in_fork(self) -> None:
        # Owner, task and timer live in the parent only, and so do most of those who would push.
        self._queue.lost_in_fork()
        self._ties.clear()
        self._task = None
        self.cancel("lost_in_fork")


def _untie(ties: dict[str, Callable[[], object]]) -> None:
    while ties:
        ties.popitem()[1]()


def _weakly(method: Callable[..., object]) -> Callable[..., None]:
    ref = weakref.WeakMethod(method)

    def call(*args: object) -> None:
        alive = ref()
        if alive is not None:
            alive(*args)

    return call


def _check_options(owner: object, capacity: object, overflow: object, timeout: object) -> None:
    if owner is not None and not isinstance(owner, ActorRef):
        raise InvalidOption(f"owner must be an ActorRef or None, not {owner!r}")
    if not isinstance(capacity, int) or isinstance(capacity, bool) or capacity < 1:
        raise InvalidOption(f"capacity must be a whole number of at least 1, not {capacity!r}")
    if overflow not in get_args(StreamOverflow):
        raise InvalidOption(f"overflow must be one of {', '.join(get_args(StreamOverflow))}, not {overflow!r}")
    if timeout is not None and not (isinstance(timeout, int | float) and timeout >= 0):
        raise InvalidOption(f"timeout must be None or seconds, not negative, but is {timeout!r}")


_streams: weakref.WeakSet[EventStream] = weakref.WeakSet()


def _after_fork() -> None:
    for stream in list(_streams):
        stream._lost_in_fork()  # noqa: SLF001 - its own module


os.register_at_fork(after_in_child=_after_fork)
