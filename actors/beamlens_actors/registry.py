# ruff: noqa: SLF001 - the cell of a ref is this package's own
"""`Registry`: finds actors by key. An entry ends with its actor."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, get_args

from beamlens_actors import context
from beamlens_actors.errors import ActorDead, ActorError, AlreadyRegistered, InvalidOption
from beamlens_actors.ref import ActorRef
from beamlens_actors.waiting import Condition

logger = logging.getLogger("beamlens_actors")

Keys = Literal["unique", "duplicate"]


class Entry(NamedTuple):
    """One registration."""

    key: Hashable
    ref: ActorRef[Any]
    value: Any


class RegistryEvent(NamedTuple):
    """What a listener gets: `kind` is `register` or `unregister`."""

    kind: Literal["register", "unregister"]
    entry: Entry


class Registry:
    """A thread-safe table from keys to refs. Not an actor: looking up takes one short lock."""

    def __init__(self, keys: Keys = "unique") -> None:
        """Make an empty registry.

        Args:
            keys: `unique`, one actor a key, or `duplicate`, any number (an actor may hold a key several
            times).

        Raises:
            InvalidOption: another value.
        """
        if keys not in get_args(Keys):
            raise InvalidOption(f"keys must be one of {', '.join(get_args(Keys))}, not {keys!r}")
        self._unique = keys == "unique"
        # Re-entrant: an actor's end, which removes its entries, may come from a finaliser on this very
        # thread.
        self._lock = threading.RLock()
        self._entries: dict[Hashable, list[Entry]] = {}
        self._by_ref: dict[ActorRef[Any], list[Entry]] = {}
        self._locks: dict[Hashable, object] = {}
        self._unlocked = Condition(self._lock)
        _registries.add(self)
        self._listeners: dict[object, Callable[[RegistryEvent], object]] = {}

    def register(self, key: Hashable, ref: ActorRef[Any], value: Any = None) -> None:
        """Enter `ref` under `key`.

        Raises:
            AlreadyRegistered: unique, and a living actor (this one too) holds the key.
            ActorDead: `ref` has ended.
        """
        entry = Entry(key, ref, value)
        with self._lock:
            if self._unique:
                self._check_free(key)
            # Under the lock, so that the clean-up of an actor that ends right now comes after the entry.
            if ref not in self._by_ref and not ref._cell.bonds.add_cleanup(self, lambda: self._forget(ref)):
                raise ActorDead(f"{ref} has ended", ref._cell.reason)
            self._entries.setdefault(key, []).append(entry)
            self._by_ref.setdefault(ref, []).append(entry)
        self._tell_listeners("register", [entry])

    def _check_free(self, key: Hashable) -> None:
        for holder in list(self._entries.get(key, ())):
            if holder.ref.is_alive():
                raise AlreadyRegistered(key, holder.ref)
            # It ended a moment ago and its clean-up is still to come.
            self._forget(holder.ref)

    def unregister(self, key: Hashable, ref: ActorRef[Any] | None = None) -> None:
        """Remove what is under `key`, or only what `ref` holds there. Fine when there is nothing."""
        with self._lock:
            gone = [entry for entry in self._entries.get(key, ()) if ref is None or entry.ref is ref]
            for entry in gone:
                self._remove(entry)
        self._tell_listeners("unregister", gone)

    def _forget(self, ref: ActorRef[Any]) -> None:
        with self._lock:
            gone = list(self._by_ref.get(ref, ()))
            for entry in gone:
                self._remove(entry)
        self._tell_listeners("unregister", gone)

    def _remove(self, entry: Entry) -> None:
        _drop(self._entries, entry.key, entry)
        _drop(self._by_ref, entry.ref, entry)
        if entry.ref not in self._by_ref:
            entry.ref._cell.bonds.remove_cleanup(self)

    def update(self, key: Hashable, ref: ActorRef[Any], value: Any) -> bool:
        """Replace the value that `ref` holds under `key`.

        False when it does not hold it. Unique registries only.

        Raises:
            InvalidOption: the registry has duplicate keys.
        """
        if not self._unique:
            raise InvalidOption("only the values of a unique registry can be updated")
        with self._lock:
            entry = self._entry(key)
            if entry is None or entry.ref is not ref:
                return False
            new = entry._replace(value=value)
            self._entries[key] = [new]
            held = self._by_ref[ref]
            held[_index(held, entry)] = new
        return True

    def _entry(self, key: Hashable) -> Entry | None:
        return next((entry for entry in self._entries.get(key, ()) if entry.ref.is_alive()), None)

    def lookup(self, key: Hashable) -> ActorRef[Any] | None:
        """The living actor under `key` (the first, with duplicate keys), or `None`."""
        with self._lock:
            entry = self._entry(key)
        return None if entry is None else entry.ref

    def lookup_all(self, key: Hashable) -> list[ActorRef[Any]]:
        """Every living actor under `key`, in the order of registration."""
        with self._lock:
            return [entry.ref for entry in self._entries.get(key, ()) if entry.ref.is_alive()]

    def value(self, key: Hashable, default: Any = None) -> Any:
        """The value registered under `key` (the first one), or `default`."""
        with self._lock:
            entry = self._entry(key)
        return default if entry is None else entry.value

    def values(self, key: Hashable, ref: ActorRef[Any] | None = None) -> list[Any]:
        """Every value under `key`, or those of `ref` only, in the order of registration."""
        with self._lock:
            entries = list(self._entries.get(key, ()))
        return [entry.value for entry in entries if entry.ref.is_alive() and (ref is None or entry.ref is ref)]

    def keys(self, ref: ActorRef[Any]) -> list[Hashable]:
        """The keys that `ref` holds, in the order of registration; one held twice appears twice."""
        with self._lock:
            return [entry.key for entry in self._by_ref.get(ref, ())] if ref.is_alive() else []

    def select(self, predicate: Callable[[Entry], bool] | None = None) -> list[Entry]:
        """The living entries for which `predicate(entry)` holds; all without one."""
        with self._lock:
            entries = [entry for held in self._entries.values() for entry in held]
        return [entry for entry in entries if entry.ref.is_alive() and (predicate is None or predicate(entry))]

    def count(self) -> int:
        """How many living entries there are."""
        return len(self.select())

    def dispatch(self, key: Hashable, message: Any) -> int:
        """Tell `message` to every actor under `key`; one that is dead or full by then is skipped.

        Returns:
            how many took it.
        """
        told = 0
        for ref in self.lookup_all(key):
            try:
                ref.tell(message)
            except ActorError as error:
                logger.debug("dispatch of %r skipped %s: %s", key, ref, error)
            else:
                told += 1
        return told

    @contextmanager
    def lock(self, key: Hashable, timeout: float | None = None) -> Iterator[None]:
        """Hold the lock of `key` in a `with` block; other keys are not affected. Not re-entrant.

        An actor that ends inside, killed while busy, holds it no longer, and one that ends waiting never gets
        it.

        Raises:
            TimeoutError: not free within `timeout` seconds.
            ActorDead: the calling actor was killed while it waited.
        """
        holder, cell = object(), context.current_cell()

        def unlock() -> None:
            with self._unlocked:
                if self._locks.get(key) is holder:
                    del self._locks[key]
                    self._unlocked.notify_all()

        with self._unlocked:
            if not self._unlocked.wait_until(lambda: key not in self._locks, timeout):
                raise TimeoutError(f"the lock of {key!r} was not free within {timeout} s")
            self._locks[key] = holder
        try:
            if cell is not None and not cell.bonds.add_cleanup(holder, unlock):
                raise cell.dead()
            yield
        finally:
            unlock()
            if cell is not None:
                cell.bonds.remove_cleanup(holder)

    def subscribe(self, listener: ActorRef[Any] | Callable[[RegistryEvent], object]) -> Callable[[], None]:
        """Tell a ref, or call a function with, each `RegistryEvent` from now on.

        A function runs on the thread that registers, or on which the actor ended; what it raises is logged.

        Returns:
            a function that ends the subscription.
        """
        key = object()
        with self._lock:
            self._listeners[key] = listener.tell if isinstance(listener, ActorRef) else listener

        def unsubscribe() -> None:
            with self._lock:
                self._listeners.pop(key, None)

        return unsubscribe

    def _lost_in_fork(self) -> None:
        # Another thread may have held the lock; the actors are dead, so the entries are gone as seen from
        # outside.
        self._lock = threading.RLock()
        self._unlocked = Condition(self._lock)
        self._locks.clear()

    def _tell_listeners(self, kind: Literal["register", "unregister"], entries: Iterable[Entry]) -> None:
        with self._lock:
            listeners = list(self._listeners.items())
        for entry in entries:
            for key, listener in listeners:
                try:
                    listener(RegistryEvent(kind, entry))
                except ActorDead:
                    with self._lock:
                        self._listeners.pop(key, None)
                except Exception:
                    logger.exception("a registry listener failed")


_registries: weakref.WeakSet[Registry] = weakref.WeakSet()


def _after_fork() -> None:
    for registry in list(_registries):
        registry._lost_in_fork()


os.register_at_fork(after_in_child=_after_fork)


def _index(entries: list[Entry], entry: Entry) -> int:
    # By identity: the values may be anything, also what compares strangely.
    return next(i for i, one in enumerate(entries) if one is entry)


def _drop(table: dict[Any, list[Entry]], key: object, entry: Entry) -> None:
    entries = table.get(key)
    if entries is None:
        return
    table[key] = entries = [one for one in entries if one is not entry]
    if not entries:
        del table[key]
