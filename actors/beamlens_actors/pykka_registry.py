# ruff: noqa: SLF001, D102 - Pykka's privates are what this is about
"""Keeps `pykka.ActorRegistry` true, without the list scan its own `unregister` does.

Its private list is replaced, at the first start of an actor, by a table that behaves alike. Pykka 4.5 is
pinned for it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pykka import ActorRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from beamlens_actors.ref import ActorRef


class RefTable(list[Any]):
    """A list of distinct refs in order, whose `remove` and `in` take constant time."""

    def __init__(self, refs: list[Any]) -> None:
        super().__init__()
        self._refs: dict[Any, None] = dict.fromkeys(refs)

    def append(self, ref: Any) -> None:
        self._refs[ref] = None

    def remove(self, ref: Any) -> None:
        try:
            del self._refs[ref]
        except KeyError:
            raise ValueError(f"{ref!r} is not in the table") from None

    def discard(self, ref: Any) -> None:
        self._refs.pop(ref, None)

    def __contains__(self, ref: object) -> bool:
        return ref in self._refs

    def __iter__(self) -> Iterator[Any]:
        # Of a copy: an actor may start or end while it is gone through, as `add` takes no lock.
        return iter(list(self._refs))

    def __len__(self) -> int:
        return len(self._refs)

    def __getitem__(self, index: Any) -> Any:
        return list(self._refs)[index]


def _table() -> RefTable:
    refs = ActorRegistry._actor_refs
    if type(refs) is RefTable:
        return refs
    with ActorRegistry._actor_refs_lock:
        if not isinstance(ActorRegistry._actor_refs, RefTable):
            ActorRegistry._actor_refs = RefTable(ActorRegistry._actor_refs)
        return ActorRegistry._actor_refs


def add(ref: ActorRef[Any]) -> None:
    """Show `ref` in `pykka.ActorRegistry`."""
    # Without its lock: each is a single step of a dict.
    _table().append(ref)


def discard(ref: ActorRef[Any]) -> None:
    """Remove `ref`; fine when it is not there."""
    _table().discard(ref)


def lost_in_fork(refs: list[ActorRef[Any]]) -> None:
    """In a forked child: a lock nobody holds, and without the parent's actors."""
    ActorRegistry._actor_refs_lock = threading.RLock()
    for ref in refs:
        discard(ref)


def running() -> list[ActorRef[Any]]:
    """Every actor that runs, ours and Pykka's own."""
    return list(_table())
