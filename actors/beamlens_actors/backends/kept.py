"""`KeptThreads`: threads that wait a moment for another actor when theirs has ended."""

from __future__ import annotations

import contextvars
import os
import threading
from _thread import allocate_lock
from functools import partial
from typing import TYPE_CHECKING

from beamlens_actors.backends.threads import ActorThread

if TYPE_CHECKING:
    from collections.abc import Callable

KEEP = 5.0
"""Seconds that a thread waits for the next actor; then it ends."""

MOST = 16
"""How many threads wait at a time; one more ends at once."""

IDLE = "beamlens-idle"
"""The name of a thread that waits."""

_JOIN = 1.0


class Errand:
    """One actor's time on a kept thread; to the backend what a thread of its own is. See `threads.Handle`."""

    __slots__ = ("_run", "_start", "_through", "name", "thread")

    def __init__(self, start: Callable[[Errand], None], run: Callable[[], bool], name: str) -> None:
        self.name = name
        self.thread: threading.Thread | None = None
        self._start = start
        self._run: Callable[[], bool] | None = run
        self._through = allocate_lock()
        self._through.acquire()

    def start(self) -> None:
        """See `Handle.start`."""
        self._start(self)

    def run(self) -> bool:
        """Run it as a thread of its own would: with no context variable set. Whether its thread may go on."""
        run, self._run = self._run, None
        return run is not None and contextvars.Context().run(run)

    def end(self) -> None:
        """Let go of who waits for its end; called once."""
        self._through.release()

    def join(self) -> None:
        """See `Handle.join`."""
        with self._through:
            pass

    def is_alive(self) -> bool:
        """See `Handle.is_alive`."""
        return self._through.locked() and self.thread is not None and self.thread.is_alive()


class _Parked:
    """A thread that waits."""

    __slots__ = ("errand", "thread", "token")

    def __init__(self, thread: threading.Thread) -> None:
        self.thread = thread
        self.errand: Errand | None = None
        self.token = allocate_lock()
        self.token.acquire()

    def wake(self, errand: Errand | None) -> None:
        """Have it go on with `errand`, or end."""
        self.errand = errand
        self.token.release()


class KeptThreads:
    """Runs actors on threads of its own, and uses a thread again whose actor has ended.

    To wake a thread takes a third of the time that starting one does. What a function leaves in a `threading.local`
    stays there for the next; all else is as on a new thread. A thread that was abandoned is not used again.
    """

    def __init__(self, keep: float = KEEP, most: int = MOST) -> None:
        """Start without threads.

        Args:
            keep: seconds that a thread waits for the next actor. Real ones: a fake clock shall not see these waits.
            most: how many threads wait at a time.
        """
        self._keep = keep
        self._most = most
        self._pid = os.getpid()
        self._open = True
        # Without a lock: to append to a list, and to take something from it, are single steps of the interpreter.
        # Who takes a thread from the list is the only one to wake it.
        self._parked: list[_Parked] = []

    def errand(self, run: Callable[[], bool], name: str) -> Errand:
        """What will run `run`, which says whether its thread may be used again, on a thread that bears `name`."""
        return Errand(self._start, run, name)

    def _start(self, errand: Errand) -> None:
        parked = self._take()
        if parked is None:
            errand.thread = ActorThread(partial(self._work, errand), errand.name)
            errand.thread.start()
        else:
            errand.thread = parked.thread
            parked.wake(errand)

    def close(self, *, join: bool = False) -> None:
        """Keep no thread any more; `join`: wait until those that waited have ended."""
        self._open = False
        ended = []
        while (parked := self._take()) is not None:
            parked.wake(None)
            ended.append(parked.thread)
        for thread in ended if join else ():
            thread.join(_JOIN)

    def _take(self) -> _Parked | None:
        # In a forked child none of them runs.
        if os.getpid() != self._pid:
            return None
        try:
            return self._parked.pop()
        except IndexError:
            return None

    def _work(self, first: Errand) -> None:
        thread = threading.current_thread()
        errand: Errand | None = first
        while errand is not None:
            thread.name = errand.name
            parked = None
            try:
                if errand.run() and self._may_keep():
                    parked = _Parked(thread)
                    thread.name = IDLE
                    self._parked.append(parked)
            finally:
                # Only now, so that who has waited for its end finds the thread waiting.
                errand.end()
            errand = None if parked is None else self._next(parked)

    def _may_keep(self) -> bool:
        return self._open and len(self._parked) < self._most and os.getpid() == self._pid

    def _next(self, parked: _Parked) -> Errand | None:
        if self._open and parked.token.acquire(True, self._keep):
            return parked.errand
        try:
            self._parked.remove(parked)
        except ValueError:
            parked.token.acquire()  # somebody took it just now
            return parked.errand
        return None
