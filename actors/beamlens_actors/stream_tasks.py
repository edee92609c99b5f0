"""The producer attached to an `EventStream`: how its end is noticed, and how it is told to stop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

from beamlens_actors import clock
from beamlens_actors.abort import AbortSignal
from beamlens_actors.errors import InvalidOption
from beamlens_actors.reasons import Crash, ExitReason, Normal, Shutdown
from beamlens_actors.ref import ActorRef

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from beamlens_actors.timers import Timer

STOP_GRACE = 0.1
"""Seconds between telling a producer to stop and ending it."""


class StreamTask(Protocol):
    """What `EventStream.attach_task` takes, beside an `ActorRef` and an `asyncio.Task`.

    A supervision `Task` and a `concurrent.futures.Future` are such. Read when they are there: `ref`, the
    `ActorRef` that runs it, killed when a cancel did not end it in time; `abort_signal`; and, for how it
    ended, `poll().reason` or `cancelled()` and `exception()`.
    """

    def cancel(self) -> object:
        """End it, without waiting. Any thread."""
        ...

    def add_done_callback(self, fn: Callable[[Any], object], /) -> object:
        """Call `fn(task)` once it has ended; when it has, now or soon."""
        ...


class Attachment(Protocol):
    """One attached task, whatever it is."""

    def watch(self, ended: Callable[[ExitReason | None], object]) -> Callable[[], object]:
        """Call `ended(reason)` when it ends; returns a function that takes this back as far as possible."""
        ...

    def stop(self, reason: object) -> None:
        """Abort its signal, tell it to stop and end it after the grace, without waiting."""
        ...


def attachment(task: Any, signal: AbortSignal | None) -> Attachment:
    """What knows how to treat `task`.

    Raises:
        InvalidOption: it is nothing that can be attached.
    """
    if signal is None:
        own = getattr(task, "abort_signal", None)
        signal = own if isinstance(own, AbortSignal) else None
    if isinstance(task, ActorRef):
        return _ActorTask(task, signal)
    asyncio = sys.modules.get("asyncio")  # where nobody imported it, this is nothing of it
    if asyncio is not None and isinstance(task, asyncio.Future):
        return _AsyncioTask(task, signal)
    if not (callable(getattr(task, "cancel", None)) and callable(getattr(task, "add_done_callback", None))):
        raise InvalidOption(
            f"task must be an ActorRef, an asyncio.Task or have cancel() and add_done_callback(fn), not {task!r}"
        )
    return _HandleTask(task, signal)


class _ActorTask:
    def __init__(self, ref: ActorRef[Any], signal: AbortSignal | None) -> None:
        self._ref = ref
        self._signal = signal

    def watch(self, ended: Callable[[ExitReason | None], object]) -> Callable[[], object]:
        return self._ref.add_exit_callback(lambda _ref, reason: ended(reason))

    def stop(self, reason: object) -> None:
        _abort(self._signal, reason)
        self._ref.stop(Shutdown(reason), block=False)
        _kill_later(self._ref)


class _HandleTask:
    def __init__(self, task: StreamTask, signal: AbortSignal | None) -> None:
        self._task = task
        self._signal = signal

    def watch(self, ended: Callable[[ExitReason | None], object]) -> Callable[[], object]:
        watching = [ended]

        def done(task: Any) -> None:
            if watching:
                watching[0](_how_it_ended(task))

        self._task.add_done_callback(done)
        return watching.clear

    def stop(self, reason: object) -> None:
        _abort(self._signal, reason)
        # Not the actor's own stop: only the handle knows whom it must be unlinked from before.
        self._task.cancel()
        ref = getattr(self._task, "ref", None)
        if isinstance(ref, ActorRef):
            _kill_later(ref)


class _AsyncioTask:
    def __init__(self, task: asyncio.Future[Any], signal: AbortSignal | None) -> None:
        self._task = task
        self._signal = signal

    def watch(self, ended: Callable[[ExitReason | None], object]) -> Callable[[], object]:
        def done(task: asyncio.Future[Any]) -> None:
            ended(_how_it_ended(task))

        self._on_loop(self._task.add_done_callback, done)
        return lambda: self._on_loop(self._task.remove_done_callback, done)

    def stop(self, reason: object) -> None:
        if self._signal is None:
            self._on_loop(self._task.cancel)
            return
        # A cancel interrupts whatever it awaits, so it comes when the signal was not enough, and once: a
        # second one would interrupt its clean-up.
        _abort(self._signal, reason)
        timer = clock.call_later(STOP_GRACE, lambda: self._on_loop(self._task.cancel))
        self._on_loop(self._task.add_done_callback, lambda _task: timer.cancel())

    def _on_loop(self, fn: Callable[..., object], *args: object) -> None:
        import asyncio

        loop = self._task.get_loop()
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            fn(*args)
            return
        try:
            loop.call_soon_threadsafe(fn, *args)
        except RuntimeError:
            pass  # closed: nothing runs there any more


def _abort(signal: AbortSignal | None, reason: object) -> None:
    if signal is not None:
        signal.abort(reason)


def _kill_later(ref: ActorRef[Any]) -> None:
    timer: Timer = clock.call_later(STOP_GRACE, ref.kill)
    ref.add_exit_callback(lambda _ref, _reason: timer.cancel())


def _how_it_ended(task: Any) -> ExitReason | None:
    poll = getattr(task, "poll", None)
    if callable(poll):
        reason = getattr(poll(), "reason", None)
        return reason if isinstance(reason, ExitReason) else None
    if not hasattr(task, "exception"):
        return None
    if task.cancelled():
        return Shutdown("cancelled")
    error = task.exception()
    return Normal() if error is None else Crash(error)
