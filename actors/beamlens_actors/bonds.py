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


class _Tables:
    """All bonds of one actor."""

    __slots__ = ("callbacks", "cleanups", "links", "monitored", "watchers")

    def __init__(self) -> None:
        self.cleanups: dict[object, Callable[[], object]] = {}
        self.watchers: dict[Monitor, Cell] = {}
        self.callbacks: dict[object, Callable[[ActorRef[Any], ExitReason], object]] = {}
        self.links: dict[ActorRef[Any], None] = {}
        self.monitored: dict[Monitor, Cell] = {}


_EMPTY = _Tables()


class Bonds:
    """The bonds of one actor, from any thread. Adding one returns False when the actor has ended already."""

    __slots__ = ("_open", "_tables", "lock")

    def __init__(self) -> None:
        self._open = True
        # Most actors have none, and large systems have many actors; nothing is ever put into this one.
        self._tables = _EMPTY
        self.fresh_lock()

    def fresh_lock(self) -> None:
        """Also for a forked child, where another thread may have held it."""
        # Re-entrant: a garbage collection inside may run code that asks for this actor's end.
        self.lock = threading.RLock()

    def close(self) -> None:
        """From now on every addition is too late. The caller holds the lock, and sets the reason under it."""
        self._open = False

    def _own(self) -> _Tables:
        """The tables to add to; the caller holds the lock."""
        if self._tables is _EMPTY:
            own = _Tables()
            # A finaliser, which may run wherever something is made, may have come here meanwhile.
            if self._tables is _EMPTY:
                self._tables = own
        return self._tables

    def add_cleanup(self, key: object, fn: Callable[[], object]) -> bool:
        """Call `fn()` at the end, before anybody is told."""
        with self.lock:
            if self._open:
                self._own().cleanups[key] = fn
            return self._open

    def remove_cleanup(self, key: object) -> None:
        """Undo `add_cleanup`."""
        with self.lock:
            self._tables.cleanups.pop(key, None)

    def add_callback(self, key: object, fn: Callable[[ActorRef[Any], ExitReason], object]) -> bool:
        """Call `fn(ref, reason)` at the end."""
        with self.lock:
            if self._open:
                self._own().callbacks[key] = fn
            return self._open

    def remove_callback(self, key: object) -> None:
        """Undo `add_callback`."""
        with self.lock:
            self._tables.callbacks.pop(key, None)

    def add_watcher(self, handle: Monitor, watcher: Cell) -> bool:
        """Send `watcher` a `Down` at the end."""
        with self.lock:
            if self._open:
                self._own().watchers[handle] = watcher
            return self._open

    def remove_watcher(self, handle: Monitor) -> None:
        """Undo `add_watcher`."""
        with self.lock:
            self._tables.watchers.pop(handle, None)

    def add_monitored(self, handle: Monitor, target: Cell) -> None:
        """This actor monitors `target`: what `add_watcher` is on the other side."""
        with self.lock:
            self._own().monitored[handle] = target

    def drop_monitored(self, handle: Monitor) -> Cell | None:
        """Undo `add_monitored`; whom it monitored, if it did."""
        return self._tables.monitored.pop(handle, None)

    def add_link(self, ref: ActorRef[Any]) -> None:
        """Send `ref` an exit signal at the end: one half of a link."""
        with self.lock:
            if self._open:
                self._own().links[ref] = None

    def drop_link(self, ref: ActorRef[Any]) -> bool:
        """Undo `add_link`; False when there was none."""
        with self.lock:
            return self._tables.links.pop(ref, self) is None

    def ties(self) -> tuple[tuple[ActorRef[Any], ...], int]:
        """Those linked, and how many monitor."""
        with self.lock:
            return tuple(self._tables.links), len(self._tables.watchers)

    def clean_up(self) -> None:
        """Free what other parts hold for the actor; after `close`."""
        if not self._tables.cleanups:
            return
        with self.lock:
            cleanups, self._tables.cleanups = list(self._tables.cleanups.values()), {}
        for cleanup in cleanups:
            _guarded(cleanup)

    def forget(self) -> None:
        """Tell nobody."""
        with self.lock:
            kept, self._tables = self._tables.cleanups, _EMPTY
            if kept:
                self._own().cleanups = kept

    def notify(self, ref: ActorRef[Any], reason: ExitReason) -> None:
        """Tell everybody; after `clean_up`."""
        if self._tables is _EMPTY:
            return
        with self.lock:
            tables, self._tables = self._tables, _EMPTY
        for handle, watcher in tables.watchers.items():
            watcher.down(Down(handle.ref, reason, handle))
        for other in tables.links:
            other._cell.link_ended(reason, ref)
        for handle, target in list(tables.monitored.items()):
            target.bonds.remove_watcher(handle)
        for callback in tables.callbacks.values():
            _guarded(callback, ref, reason)


def _guarded(fn: Callable[..., object], *args: object) -> None:
    try:
        fn(*args)
    except BaseException:
        logger.exception("a function to be called at an actor's end failed")
