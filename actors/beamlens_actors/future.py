"""The one future of every backend."""

from __future__ import annotations

import queue
import sys
from types import BuiltinMethodType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, cast

import pykka
from pykka._future import _Unset

from beamlens_actors import clock, context
from beamlens_actors.errors import ActorCrashed, AskTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

    from pykka._types import OptExcInfo

    from beamlens_actors.cell import Cell

T = TypeVar("T")

Outcome: TypeAlias = "tuple[Any, BaseException | None, TracebackType | None]"
"""The answer, or an error in its place with its traceback."""


class Future(pykka.Future[T], Generic[T]):
    """An answer to come. Any number of threads, actors and asyncio tasks may wait for it.

    Looks at the waiting side in `get`, so one type serves every backend; `await` does not block the event
    loop.
    """

    _get_hook: Callable[[float | None], T] | None = None
    _get_hook_result = cast("T", _Unset())

    def __init__(self, callee: Cell | None = None) -> None:
        # Pykka's constructor only sets what are class attributes here.
        # There is no lock: to append to a list, and to pop from one, are single steps of the interpreter. Of several
        # answers the first one in the list counts; a callback is called by who popped it.
        self._outcomes: list[Outcome] = []
        self._waiting: list[Callable[[], object]] = []
        self._callee = callee

    def __repr__(self) -> str:
        return f"<beamlens_actors.Future {'done' if self.done() else 'pending'}>"

    def failed_with(self, error: BaseException) -> bool:
        """Whether `error` stands in place of the answer."""
        return bool(self._outcomes) and self._outcomes[0][1] is error

    def done(self) -> bool:
        """Whether the answer, or an error in its place, is there (with a get hook: once `get` was successful)."""
        return bool(self._outcomes) or not isinstance(self._get_hook_result, _Unset)

    def get(self, *, timeout: float | None = None) -> T:
        """Wait for the answer.

        Raises:
            AskTimeout: it is not there after `timeout` seconds.
            SelfAsk: the caller is the actor that would have to answer.
            Exception: what was raised in its place.
        """
        if not self._outcomes:
            if self._get_hook is not None:
                return super().get(timeout=timeout)
            if self._callee is not None:
                self._callee.check_may_wait()
        return self.take(timeout)

    def take(self, timeout: float | None) -> T:
        """`get` without its checks, for who has made them."""
        outcomes = self._outcomes
        if not outcomes:
            self._wait(timeout)
        value, error, traceback = outcomes[0]
        if error is not None:
            raise error.with_traceback(traceback)
        return cast("T", value)

    def _wait(self, timeout: float | None) -> None:
        token = context.make_token()
        wake = token.release
        if not self.add_done_callback(wake):
            return
        if timeout is None:
            token.acquire()
        elif not clock.acquire(token, timeout) and not self._outcomes:
            self._remove_callback(wake)
            raise AskTimeout(f"no answer within {timeout} s")

    def add_done_callback(self, fn: Callable[[], object]) -> bool:
        """Call `fn()` when the answer is there, on the thread that brings it.

        False: it is there, not called.
        """
        if self._outcomes:
            return False
        self._waiting.append(fn)
        # If it came meanwhile, whoever brought it may have looked before.
        return not self._outcomes or not self._remove_callback(fn)

    def remove_done_callback(self, fn: Callable[[], object]) -> bool:
        """Undo `add_done_callback`; False when `fn` was called, or is being."""
        return self._remove_callback(fn)

    def _remove_callback(self, fn: Callable[[], object]) -> bool:
        try:
            self._waiting.remove(fn)
        except ValueError:
            return False  # it was called, or is being
        return True

    def resolve(self, value: T | None = None) -> bool:
        """Like `set`, but a second answer is dropped; True when this was the first."""
        return self._settle((value, None, None))

    def fail(self, error: BaseException) -> bool:
        """Like `set_exception`, but a second answer is dropped; True when this was the first.

        An error that is no `Exception` reaches the waiter as `ActorCrashed`.
        """
        if not isinstance(error, Exception):
            error = ActorCrashed(error)
        return self._settle((None, error, error.__traceback__))

    def _settle(self, outcome: Outcome) -> bool:
        if self._get_hook is not None:
            return False
        outcomes = self._outcomes
        outcomes.append(outcome)
        if outcomes[0] is not outcome:
            del outcomes[1:]
            return False
        waiting = self._waiting
        while waiting:
            try:
                callback = waiting.pop(0)
            except IndexError:
                break  # taken back meanwhile
            try:
                callback()
            except RuntimeError:
                # The token of a waiter whom a fake clock has woken just now.
                if not isinstance(callback, BuiltinMethodType):
                    raise
        return True

    def set(self, value: T | None = None) -> None:
        """Set the answer.

        Raises:
            queue.Full: there is one already.
        """
        if not self.resolve(value):
            raise queue.Full

    def set_exception(self, exc_info: OptExcInfo | None = None) -> None:
        """Set an error, `sys.exc_info()` when none is given, in place of the answer.

        Raises:
            queue.Full: there is an answer already.
        """
        kind, error, traceback = exc_info or sys.exc_info()
        if error is None:
            error = kind() if kind is not None else RuntimeError("set_exception() without an exception")
        if not self.fail(error.with_traceback(traceback)):
            raise queue.Full

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """See `pykka.Future.set_get_hook`."""
        if self._outcomes:
            raise queue.Full
        super().set_get_hook(func)

    def lost_in_fork(self, error: Exception) -> None:
        """Fail it in a forked child: the waiters live in the parent only."""
        self._waiting = []
        self.fail(error)

    def __await__(self) -> Generator[Any, None, T]:
        return self.wait_async().__await__()

    __iter__ = __await__

    def _get_on_a_thread(self, timeout: float | None) -> Future[T]:
        # Not one of the loop's own, which are few, and for which the loop would wait at its end.
        from beamlens_actors.backends.threads import spawn

        got: Future[T] = Future()

        def get() -> None:
            try:
                got.resolve(self.get(timeout=timeout))
            except BaseException as error:  # noqa: BLE001 - for who awaits it
                got.fail(error)

        spawn(get, "beamlens-await")
        return got

    async def wait_async(self, timeout: float | None = None) -> T:  # noqa: ASYNC109
        """Wait in an asyncio task, leaving its event loop free.

        Raises:
            AskTimeout: it is not there after `timeout` seconds.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        if self._get_hook is not None:
            return await self._get_on_a_thread(timeout).wait_async()
        if timeout is not None and timeout <= 0:
            return self.take(0)
        arrived = asyncio.Event()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(arrived.set)
            except RuntimeError:
                pass  # the event loop was closed while it waited

        if self.add_done_callback(wake):
            timer = None if timeout is None else clock.call_later(timeout, wake)
            try:
                await arrived.wait()
            finally:
                self._remove_callback(wake)
                if timer is not None:
                    timer.cancel()
            if not self._outcomes:
                raise AskTimeout(f"no answer within {timeout} s")
        return self.get()
