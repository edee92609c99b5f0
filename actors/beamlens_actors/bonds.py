# ruff: noqa: SLF001 - the cell of a ref is this package's own
"""Who must hear of an actor's end (registries, monitors, links, callbacks), and whom it monitors."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from beamlens_actors.messages import Down, Monitor

if TYPE_CHECKING:
    from collections.abc import Callable

    from beamlens_actors.cell import Cell
    from beamlens_actors.reasons import ExitReason
    from beamlens_actors.ref import ActorRef

logger = logging.getLogger("beamlens_actors")


class Bonds:
    """The bonds of one actor, from any thread. Adding one returns False when the actor has ended already."""

    __slots__ = ("_callbacks", "_cleanups", "_links", "_open", "_watchers", "lock", "monitored")

    def __init__(self) -> None:
        self._open = True
        self._cleanups: dict[object, Callable[[], object]] = {}
        self._watchers: dict[Monitor, Cell] = {}
        self._callbacks: dict[object, Callable[[ActorRef[Any], ExitReason], object]] = {}
        self._links: dict[ActorRef[Any], None] = {}
        self.monitored: dict[Monitor, Cell] = {}
        """Whom this actor monitors."""
        self.fresh_lock()

    def fresh_lock(self) -> None:
        """Also for a forked child, where another thread may have held it."""
        # Re-entrant: a garbage collection inside may run code that asks for this actor's end.
        self.lock = threading.RLock()

    def close(self) -> None:
        """From now on every addition is too late. The caller holds the lock, and sets the reason under it."""
        self._open = False

    def add_cleanup(self, key: object, fn: Callable[[], object]) -> bool:
        """Call `fn()` at the end, before anybody is told."""
        with self.lock:
            if self._open:
                self._cleanups[key] = fn
            return self._open

    def remove_cleanup(self, key: object) -> None:
        """Undo `add_cleanup`."""
        with self.lock:
            self._cleanups.pop(key, None)

    def add_callback(self, key: object, fn: Callable[[ActorRef[Any], ExitReason], object]) -> bool:
        """Call `fn(ref, reason)` at the end."""
        with self.lock:
            if self._open:
                self._callbacks[key] = fn
            return self._open

    def remove_callback(self, key: object) -> None:
        """Undo `add_callback`."""
        with self.lock:
            self._callbacks.pop(key, None)

    def add_watcher(self, handle: Monitor, watcher: Cell) -> bool:
        """Send `watcher` a `Down` at the end."""
        with self.lock:
            if self._open:
                self._watchers[handle] = watcher
            return self._open

    def remove_watcher(self, handle: Monitor) -> None:
        """Undo `add_watcher`."""
        with self.lock:
            self._watchers.pop(handle, None)

    def add_link(self, ref: ActorRef[Any]) -> None:
        """Send `ref` an exit signal at the end: one half of a link."""
        with self.lock:
            if self._open:
                self._links[ref] = None

    def drop_link(self, ref: ActorRef[Any]) -> bool:
        """Undo `add_link`; False when there was none."""
        with self.lock:
            return self._links.pop(ref, self) is None

    def clean_up(self) -> None:
        """Free what other parts hold for the actor; after `close`."""
        if not self._cleanups:
            return
        with self.lock:
            cleanups, self._cleanups = list(self._cleanups.values()), {}
        for cleanup in cleanups:
            _guarded(cleanup)

    def forget(self) -> None:
        """Tell nobody."""
        with self.lock:
            self._watchers, self._links, self._callbacks = {}, {}, {}

    def notify(self, ref: ActorRef[Any], reason: ExitReason) -> None:
        """Tell everybody; after `clean_up`."""
        if not (self._watchers or self._links or self._callbacks or self.monitored):
            return
        with self.lock:
            watchers, self._watchers = self._watchers, {}
            links, self._links = self._links, {}
            callbacks, self._callbacks = self._callbacks, {}
        for handle, watcher in watchers.items():
            watcher.down(Down(handle.ref, reason, handle))
        for other in links:
            other._cell.link_ended(reason, ref)
        for handle, target in list(self.monitored.items()):
            target.bonds.remove_watcher(handle)
        self.monitored.clear()
        for callback in callbacks.values():
            _guarded(callback, ref, reason)


def _guarded(fn: Callable[..., object], *args: object) -> None:
    try:
        fn(*args)
    except BaseException:
        logger.exception("a function to be called at an actor's end failed")
