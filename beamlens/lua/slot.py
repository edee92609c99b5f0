"""`Slot`: the place of one worker, used by one thread at a time; the others queue."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from beamlens.lua.channel import WorkerGone
from beamlens.lua.errors import LuaError
from beamlens.lua.process import WorkerProcess
from beamlens_actors import AbortSignal, clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from beamlens_actors import Timer


class Ticket:
    """One use of the slot: first in the queue, then the holder of the worker."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        # Set by other threads.
        self.closed: bool = False
        self.stopped: bool = False
        self.token = threading.Lock()
        self.token.acquire()


class Slot:
    """Starts the worker when it is first needed and ends it when it is idle.

    Holds its lock for moments only, never while it waits, and never blocks in a forked child.
    """

    def __init__(self, memory_mb: int, idle_timeout: float) -> None:
        self._memory_mb = memory_mb
        self._idle_timeout = idle_timeout
        self._forget()
        _slots.add(self)

    def _forget(self) -> None:
        # Re-entrant: a finaliser may abort a run while its thread is inside.
        self._lock = threading.RLock()
        self._holder: Ticket | None = None
        self._queue: deque[Ticket] = deque()
        self._worker: WorkerProcess | None = None
        self._idle: Timer | None = None
        self._used = 0.0

    def after_fork(self) -> None:
        """In a forked child: the worker, the queue and the lock's state are the parent's. Let go of them."""
        worker = self._worker
        self._forget()
        if worker is not None:
            worker.end()  # closes the child's copies of the pipes, nothing else

    def enter(self, deadline: float, abort: AbortSignal) -> Ticket:
        """Wait for the turn, first come first served.

        Raises:
            LuaError: The deadline, of ``time.monotonic()``, passed first; or this thread has the turn already.
            Aborted: The signal fired first.
        """
        ticket = Ticket()
        with self._lock:
            if self._holder is not None and self._holder.thread == ticket.thread:
                raise LuaError("runtime", "a function of the sandbox may not run code in it")
            self._queue.append(ticket)
            self._serve_next()
            if self._holder is ticket:
                return ticket
        take_back = abort.on_abort(lambda: clock.release(ticket.token))
        try:
            clock.acquire(ticket.token, deadline - time.monotonic())
        except BaseException:
            self._give_up(ticket)
            raise
        finally:
            take_back()
        if self._holder is not ticket or abort.aborted or ticket.closed:
            self._give_up(ticket)
            abort.raise_if_aborted()
            if ticket.closed:
                raise LuaError("runtime", "the sandbox was closed before the code ran")
            raise LuaError("timeout", "other runs of this sandbox took all the time")
        return ticket

    def worker(self, ticket: Ticket, deadline: float) -> WorkerProcess:
        """The holder's worker, started if need be.

        Raises:
            LuaError: It cannot be started.
            WorkerGone: The use was stopped.
            TimeoutError: The deadline passed first.
        """
        with self._lock:
            if ticket.stopped:
                raise WorkerGone
            worker, doomed = self._worker, None
            if worker is None or not worker.alive:
                doomed, self._worker = worker, None
        if doomed is not None:
            doomed.end()
            worker = None
        if worker is None:
            worker = WorkerProcess(self._memory_mb)
            self._put(ticket, worker)
        worker.wait_ready(deadline)
        return worker

    def _put(self, ticket: Ticket, worker: WorkerProcess) -> None:
        with self._lock:
            self._worker = worker
            if ticket.stopped:
                worker.kill()

    def stop(self, ticket: Ticket) -> None:
        """Kill the worker if `ticket` holds it; the holder sees that and leaves. From any thread."""
        with self._lock:
            ticket.stopped = True
            if self._holder is ticket and self._worker is not None:
                self._worker.kill()

    def drop(self, ticket: Ticket) -> int | None:
        """End the worker that `ticket` holds; its return code, if it is known."""
        with self._lock:
            if self._holder is not ticket:
                return None
            worker, self._worker = self._worker, None
        return None if worker is None else worker.end()

    def leave(self, ticket: Ticket) -> None:
        """Give the turn to the next."""
        doomed = None
        with self._lock:
            if self._holder is not ticket:
                return  # this is a forked child, in a function that its parent's run called
            if self._worker is not None and self._worker.killed:
                doomed, self._worker = self._worker, None
            self._holder = None
            self._used = clock.monotonic()
            self._serve_next()
            if self._worker is not None and self._idle is None:
                self._watch_idle(self._idle_timeout)
        if doomed is not None:
            doomed.end()

    def close(self) -> None:
        """End the worker, whoever uses or awaits it; does not wait for them."""
        doomed = None
        with self._lock:
            for ticket in (*([self._holder] if self._holder else []), *self._queue):
                ticket.closed = ticket.stopped = True
                clock.release(ticket.token)
            if self._worker is not None:
                self._worker.kill()
                if self._holder is None:
                    doomed, self._worker = self._worker, None
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
        if doomed is not None:
            doomed.end()

    def _serve_next(self) -> None:
        if self._holder is None and self._queue:
            ticket = self._queue.popleft()
            self._holder = ticket
            clock.release(ticket.token)

    def _give_up(self, ticket: Ticket) -> None:
        with self._lock:
            if ticket in self._queue:
                self._queue.remove(ticket)
        self.leave(ticket)

    def _watch_idle(self, seconds: float) -> None:
        check = weakref.WeakMethod(self._check_idle)
        try:
            self._idle = clock.call_later(seconds, lambda: _call(check))
        except RuntimeError:  # no thread can be started any more: the process is ending, and the worker with it
            self._idle = None

    def _check_idle(self) -> None:
        with self._lock:
            self._idle = None
            if self._worker is None or self._holder is not None:
                return  # the holder, leaving, sets the next check
            left = self._used + self._idle_timeout - clock.monotonic()
            if left > 0:
                self._watch_idle(left)
                return
            doomed, self._worker = self._worker, None
        doomed.end()


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    bound = method()
    if bound is not None:
        bound()


_slots: weakref.WeakSet[Slot] = weakref.WeakSet()


def _after_fork() -> None:
    for slot in list(_slots):
        slot.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
