"""`AbortSignal`: tells work in progress that it is no longer wanted."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING

from beamlens_actors import clock
from beamlens_actors.errors import Aborted
from beamlens_actors.waiters import async_waiter
from beamlens_actors.waiting import Condition

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("beamlens_actors")


class AbortSignal:
    """Aborted once, for ever.

    Children are aborted with their parent, never the other way round. Thread-safe.
    """

    def __init__(self) -> None:
        # Re-entrant: a finaliser may abort while its thread is inside.
        self._lock = threading.RLock()
        self._changed = Condition(self._lock)
        self._aborted = False
        self._reason: object = None
        self._callbacks: dict[object, Callable[[], object]] = {}
        # Weak: a parent that lives for days must not collect the signals of all runs that ended.
        self._children: weakref.WeakSet[AbortSignal] = weakref.WeakSet()
        self._parent: AbortSignal | None = None
        self._tie: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<AbortSignal {f'aborted: {self._reason!r}' if self.aborted else 'open'}>"

    @property
    def aborted(self) -> bool:
        """Whether `abort` was called, here or on a parent."""
        return self._aborted

    @property
    def reason(self) -> object:
        """What was given to the first `abort`; `None` before."""
        return self._reason

    def abort(self, reason: object = None) -> bool:
        """Abort this and its children, calling the callbacks here, in the order they were added.

        False: it was.
        """
        with self._lock:
            if self._aborted:
                return False
            self._reason = reason
            self._aborted = True
            self._changed.notify_all()
            callbacks, self._callbacks = list(self._callbacks.values()), {}
            children = list(self._children)
        for callback in callbacks:
            try:
                callback()
            except Exception:
                logger.exception("an abort callback failed")
        for child in children:
            child.abort(reason)
        self._untie()
        return True

    def _tie_to_parent(self) -> None:
        # A callback of its own in the parent, so that a child somebody listens to lives as long as its
        # parent.
        parent = self._parent
        if parent is None or self._tie is not None:
            return
        tie = parent.on_abort(lambda: self.abort(parent.reason))
        spare = self._take_tie(tie)
        if spare is not None:
            spare()
        self._untie()

    def _take_tie(self, new: Callable[[], None] | None) -> Callable[[], None] | None:
        with self._lock:
            old, self._tie = self._tie, new
        return old

    def _untie(self) -> None:
        tie = None if self._callbacks else self._take_tie(None)
        if tie is not None:
            tie()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until aborted; False when `timeout` seconds passed first."""
        if self._aborted:
            return True
        with self._changed:
            return self._changed.wait_until(lambda: self._aborted, timeout)

    async def wait_async(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109
        """`wait` for asyncio: leaves the event loop free, and a task that is cancelled leaves nothing behind."""
        if self._aborted or (timeout is not None and timeout <= 0):
            return self._aborted
        waiter, woken = async_waiter()
        timer = None if timeout is None else clock.call_later(timeout, waiter.wake)
        forget = self.on_abort(waiter.wake)
        try:
            await woken.wait()
        finally:
            forget()
            if timer is not None:
                timer.cancel()
        return self._aborted

    def raise_if_aborted(self) -> None:
        """Do nothing, or raise.

        Raises:
            Aborted: with the reason.
        """
        if self._aborted:
            raise Aborted(self._reason)

    def child(self) -> AbortSignal:
        """A signal that is aborted with this one and can be aborted alone."""
        child = AbortSignal()
        child._parent = self
        with self._lock:
            aborted = self._aborted
            if not aborted:
                self._children.add(child)
        if aborted:
            child.abort(self._reason)
        return child

    def on_abort(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback()` once on abort, on the aborting thread.

        At once when aborted. What it raises is logged.

        Returns:
            a function that takes the callback back.
        """
        key = object()
        with self._lock:
            aborted = self._aborted
            if not aborted:
                self._callbacks[key] = callback
        if aborted:
            try:
                callback()
            except Exception:
                logger.exception("an abort callback failed")
        else:
            self._tie_to_parent()

        def remove() -> None:
            with self._lock:
                self._callbacks.pop(key, None)
            self._untie()

        return remove
