"""The backend for many actors: all of them on one thread, an idle one without a stack of its own."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from beamlens_actors import context
from beamlens_actors.backends.threads import lose_in_fork
from beamlens_actors.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from beamlens_actors.backends.hub import ActorHub, HubWaker
    from beamlens_actors.cell import Cell

R = TypeVar("R")

_EXIT_SECONDS = 1.0


class Greenlets:
    """The backend object; see `Backend`. Its hub starts with the first actor."""

    name = "greenlets"

    def __init__(self) -> None:
        from greenlet import GreenletExit

        self.unwinds_with = GreenletExit
        self._lock = threading.Lock()
        self._hub: ActorHub | None = None
        self._cells: dict[Cell, None] = {}
        atexit.register(self.stop)

    def make_waker(self) -> HubWaker:
        """See `Backend.make_waker`."""
        return (self._hub or self._start_hub()).make_waker()

    def _start_hub(self) -> ActorHub:
        from beamlens_actors.backends import watchdog
        from beamlens_actors.backends.hub import ActorHub

        with self._lock:
            if self._hub is None:
                try:
                    self._hub = ActorHub(self._forget)
                except RuntimeError as error:
                    raise BackendUnavailable(f"the system gives no thread for the hub: {error}") from error
                watchdog.start(self._hub)
            return self._hub

    def start(self, cell: Cell) -> None:
        """See `Backend.start`."""
        waker: HubWaker = cell.waker  # type: ignore[assignment]
        waker.cell = cell
        self._cells[cell] = None
        waker.running = False
        waker.wake()

    def _forget(self, cell: Cell) -> None:
        self._cells.pop(cell, None)

    def release(self, cell: Cell) -> None:
        """See `Backend.release`."""

    def settle(self, cell: Cell) -> None:
        """See `Backend.settle`."""

    def abandon(self, cell: Cell) -> None:
        """Ends what it waits for. A handler that computes goes on until it waits or returns, and the hub with it."""
        if self._hub is not None:
            self._hub.call(partial(self._hub.unwind, cell))

    def offload(self, fn: Callable[[], R]) -> R:
        """Run it on one of 32 threads, which are made when needed; further calls wait for one."""
        hub = self._hub
        return fn() if hub is None else hub.offload(fn)

    def stop(self) -> None:
        """At the end of the process. What else runs at exit must not wait for its actors, so they are dead then."""
        with self._lock:
            hub, self._hub = self._hub, None
        if hub is not None:
            hub.stop(_EXIT_SECONDS)
            for cell in list(self._cells):
                cell.cease()
            self._cells.clear()

    def lost_in_fork(self) -> None:
        """In a forked child: the hub's thread is the parent's, so the actors are dead."""
        cells, self._cells = self._cells, {}
        self._lock = threading.Lock()
        self._hub = None
        context.local.hub = None
        lose_in_fork(cells)


_greenlets: Greenlets | None = None


def get_greenlets() -> Greenlets:
    """The backend.

    Raises:
        BackendUnavailable: it does not work here.
    """
    global _greenlets
    if _greenlets is None:
        check_available()
        made = _greenlets = Greenlets()
        os.register_at_fork(after_in_child=made.lost_in_fork)
    return _greenlets


def check_available() -> None:
    """Refuse where greenlets cannot work, before gevent is imported.

    Raises:
        BackendUnavailable: says why.
    """
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise BackendUnavailable("backend 'greenlets' needs an interpreter with a GIL: gevent would turn it on again")
    try:
        from gevent import monkey
    except ImportError as error:
        raise BackendUnavailable(f"backend 'greenlets' needs gevent, which cannot be imported: {error}") from error
    if monkey.is_module_patched("threading") or monkey.is_module_patched("_thread"):
        raise BackendUnavailable(
            "backend 'greenlets' needs a thread of its own, and gevent has patched threads in this process; "
            "use 'threads', whose actors are greenlets then"
        )
