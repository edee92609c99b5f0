"""The hub: one thread that runs the greenlet actors, and the parking of those that wait.

An idle actor has no greenlet. What has messages stands in `ready`; a worker greenlet takes one after the other and runs
it in place. When a handler waits, its worker is parked and another one goes on. No queue or event of gevent's is used:
they must not be touched from other threads. All others only append to deques, and wake the loop by its async watcher,
the one thing of it that is safe from any thread.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
import time
from collections import deque
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar, cast

import gevent
from gevent.threadpool import ThreadPool
from greenlet import GreenletExit, getcurrent, greenlet

from beamlens_actors import context
from beamlens_actors.backends.hub_token import HubToken
from beamlens_actors.backends.threads import spawn
from beamlens_actors.cell import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from beamlens_actors.cell import Cell

logger = logging.getLogger("beamlens_actors")

R = TypeVar("R")

OFFLOAD_THREADS = 32
_IDLE, _MORE, _END = Outcome.IDLE, Outcome.MORE, Outcome.END
_MESSAGES = 100  # between two looks at the time; whoever handles the last one has had enough for now
# Before the loop's turn: its timers, its sockets. The loop gives the GIL up for an instant and wakes who waits for it,
# mostly too late to take it; and CPython makes only a holder hand it over who has kept it for a whole interval. A hub
# that went round its loop faster than that would starve every other thread on a machine of several cores.
_SWITCH_INTERVALS = 3
_SPARE_WORKERS = 100


class HubWaker:
    """Puts its actor among those that are ready."""

    __slots__ = ("begun", "cell", "context", "hub", "queued", "running", "sleeping")

    cell: Cell

    def __init__(self, hub: ActorHub) -> None:
        self.hub = hub
        self.sleeping = False
        self.begun = False
        self.queued = False
        self.running = True
        """Whether it must not be given a turn now: it has one, or is over, or (so at first) is not started yet."""
        self.context = contextvars.Context()

    def wake(self) -> None:
        """See `mailbox.Waker`."""
        self.sleeping = False
        # If two do it at a time it is ready twice, which does no harm: the second turn finds nothing.
        if not self.queued:
            self.queued = True
            hub = self.hub
            hub.ready.append(self)
            if not hub.awake:
                hub.rouse()


class Worker(greenlet):
    """A greenlet that runs ready actors, one after the other."""

    cell: Cell | None = None


class ActorHub:
    """The thread, its loop and what waits there. Made and started at once."""

    def __init__(self, on_end: Callable[[Cell], object]) -> None:
        """Start the thread.

        Args:
            on_end: is called with each actor when it has ended.

        Raises:
            RuntimeError: the system gives no thread.
        """
        self.ready: deque[HubWaker] = deque()
        self.awake = False
        """Whether the loop is going to look at what is ready; a sender that finds it False must rouse it."""
        self.turns = 0
        """How many turns were taken; one that does not change while an actor runs is that of a blocked hub."""
        self._on_end = on_end
        self._resumed: deque[HubToken] = deque()
        self._calls: deque[Callable[[], object]] = deque()
        self._spare: list[Worker] = []
        self._active: greenlet | None = None
        self._until = 0.0
        self._pool: Any = None
        self._stopping = False
        self._started = threading.Event()
        self.thread = spawn(self._main, "beamlens-hub")
        self._started.wait()

    # -- any thread ------------------------------------------------------------------------------------------

    def make_waker(self) -> HubWaker:
        """A new actor's waker."""
        return HubWaker(self)

    def rouse(self) -> None:
        """Make the loop look."""
        self.awake = True
        try:
            self._async.send()
        except Exception:  # the loop is being closed at the end of the process
            logger.debug("the hub has ended", exc_info=True)

    def resume(self, token: HubToken) -> None:
        """Let the greenlet that waits for `token` go on."""
        self._resumed.append(token)
        if not self.awake:
            self.rouse()

    def call(self, fn: Callable[[], object]) -> None:
        """Run `fn()` in the hub's loop; it must not wait."""
        self._calls.append(fn)
        if not self.awake:
            self.rouse()

    def stop(self, timeout: float) -> None:
        """End the thread; its actors just cease. A handler that computes is waited for `timeout` seconds."""
        self._stopping = True
        self.rouse()
        self.thread.join(timeout)

    # -- the hub's thread ------------------------------------------------------------------------------------

    def _main(self) -> None:
        self.greenlet: Any = gevent.get_hub()
        self.loop: Any = self.greenlet.loop
        self._async: Any = self.loop.async_()
        self._async.start(self._drain)
        self._base = getcurrent()
        context.local.hub = self
        self._started.set()
        while not self._stopping:
            try:
                self.greenlet.switch()
            except BaseException:  # gevent hands it a SystemExit or KeyboardInterrupt of any greenlet
                logger.exception("a greenlet that an actor made failed; the hub goes on")
        context.local.hub = None
        self._async.close()
        self.greenlet.destroy(destroy_loop=True)

    def current_cell(self) -> Cell | None:
        """See `context.Hub`."""
        current = getcurrent()
        return current.cell if type(current) is Worker else None

    def may_park(self) -> bool:
        """See `context.Hub`."""
        return getcurrent() is not self.greenlet

    def make_token(self) -> HubToken:
        """See `context.Hub`."""
        return HubToken(self)

    def park(self) -> None:
        """Set the running greenlet aside until it is switched to; whoever is next goes on."""
        current = getcurrent()
        (self._next() if type(current) is Worker else self.greenlet).switch()

    def switch_to(self, other: greenlet) -> None:
        """From the loop: run `other`, and those that it and they hand over to, until nothing is to be done."""
        self._active = other
        try:
            other.switch()
        finally:
            self._active = None

    def _next(self) -> Any:
        """Who goes on when a worker waits or has nothing to do: straight from one to the other saves half the way."""
        self._active = None
        if (self._resumed or self.ready) and time.monotonic() < self._until:
            while self._resumed:
                waiting = self._resumed.popleft().take()
                if waiting is not None:
                    self._active = waiting
                    return waiting
            if self.ready:
                self._active = worker = self._worker()
                return worker
        return self.greenlet

    def _worker(self) -> Worker:
        return self._spare.pop() if self._spare else Worker(self._work, self.greenlet)

    def _drain(self) -> None:
        """Let all that is ready have its turn, then the loop again."""
        try:
            self._serve()
        except GreenletExit:  # the end of the process
            raise
        except BaseException:  # of a bare greenlet whose parent is the loop
            logger.exception("a greenlet that an actor made failed; the hub goes on")
            self.rouse()

    def _serve(self) -> None:
        self._until = time.monotonic() + _SWITCH_INTERVALS * sys.getswitchinterval()
        while True:
            if self._stopping:
                self._base.switch()
                return
            if self._calls:
                self._calls.popleft()()
            elif self._resumed:
                waiting = self._resumed.popleft().take()
                if waiting is not None:
                    self.switch_to(waiting)
            elif self.ready:
                self.switch_to(self._worker())
            else:
                # In this order: who appends afterwards sees that it must rouse, and what came before is found here.
                self.awake = False
                if not (self.ready or self._resumed or self._calls or self._stopping):
                    return
                self.awake = True
            if time.monotonic() > self._until:
                self.rouse()
                return

    def _work(self) -> None:
        worker: Any = getcurrent()
        while True:
            self.take_turns(worker)
            if len(self._spare) >= _SPARE_WORKERS:
                return
            self._spare.append(worker)
            self._next().switch()

    def take_turns(self, worker: Worker) -> None:
        """Run ready actors, each until it has no more messages or had enough for now, as long as `worker` may."""
        ready, resumed = self.ready, self._resumed
        messages = repeat(None, _MESSAGES)
        # One that gevent itself switched to, after a sleep say, must not take the hub for longer than its own turn.
        while ready and not resumed and self._active is worker:
            waker = ready.popleft()
            waker.queued = False
            # While it runs, even if it is parked, it will look for messages before it sleeps.
            if waker.running:
                continue
            waker.running = True
            cell = worker.cell = waker.cell
            cell.handle = worker
            self.turns += 1
            run = waker.context.run
            try:
                if waker.begun:
                    outcome = run(cell.run, messages)
                else:
                    waker.begun = True
                    outcome = run(cell.run, messages) if run(cell.begin) else _END
                if outcome is _END:
                    run(cell.end)
            except BaseException:  # a defect of this package's own must not take the hub along
                logger.exception("the turn of %s failed", cell.name)
                outcome = _END
            worker.cell = cell.handle = None
            if outcome is _IDLE:
                waker.running = False
            elif outcome is _MORE:
                waker.running = False
                if not waker.queued:
                    waker.queued = True
                    ready.append(waker)
                if time.monotonic() > self._until:
                    return
                messages = repeat(None, _MESSAGES)
            else:
                self._on_end(cell)  # still marked as running: nothing of it runs again
                del waker.cell  # which has the waker: neither is then left to the garbage collector

    def offload(self, fn: Callable[[], R]) -> R:
        """See `Backend.offload`; called by a greenlet on the hub."""
        if self._pool is None:
            self._pool = ThreadPool(OFFLOAD_THREADS, hub=self.greenlet)
        cell = self.current_cell()
        return cast("R", self._pool.apply(_offloaded, (cell, fn)))

    def unwind(self, cell: Cell) -> None:
        """In the loop: end what `cell`, which was killed, waits for, if it waits."""
        worker = cell.handle
        if worker is not None and worker is not getcurrent() and not cell.came_back():
            worker.throw(GreenletExit)


def _offloaded(cell: Cell | None, fn: Callable[[], R]) -> R:
    context.local.cell = cell  # who asks itself from there would wait for ever too
    try:
        return fn()
    finally:
        context.local.cell = None


TURN = ActorHub.take_turns.__code__
"""The frame of this code in the hub's stack is that of the running actor."""
