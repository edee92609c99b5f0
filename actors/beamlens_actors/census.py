"""Everybody who is alive, with what waits for them: for who watches actors. Ours and Pykka's own."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from pykka import ActorRegistry

from beamlens_actors.backends.threads import actor_module
from beamlens_actors.mailbox import waiting_in
from beamlens_actors.ref import ActorRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pykka

_TURN, _TURNS = 0.0005, 2000

__all__ = [
    "Resident",
    "Ties",
    "actor_module",
    "backlog",
    "everybody",
    "living_actors",
    "thread_of",
    "ties",
    "waiting_messages",
]


class Resident(NamedTuple):
    """A living actor.

    Attributes:
        key: Its own, for as long as it lives.
        name: Its name, or its class's for Pykka's.
        module: Where its class is from.
        depth: Messages in its mailbox.
        capacity: The most that it takes; `None`: no bound.
        dropped: Messages that its mailbox ever dropped or refused.
        thread: Ident of its thread; `None` when it has none of its own, or it is not known.
    """

    key: int
    name: str
    module: str
    depth: int
    capacity: int | None
    dropped: int
    thread: int | None


def everybody() -> Iterator[Resident]:
    """Each living actor; about 2 us each. Takes no lock that an actor may hold.

    Waits, a second at most in all, for the threads of actors that were started in this moment to run.
    """
    turns = iter(range(_TURNS))
    for ref in list(ActorRegistry._actor_refs):  # noqa: SLF001 - get_all() takes a lock that Pykka holds at length
        found = _ours(ref, turns) if isinstance(ref, ActorRef) else _pykkas(ref)
        if found is not None:
            yield found


def _ours(ref: ActorRef[Any], turns: Iterator[int]) -> Resident:
    cell = ref._cell  # noqa: SLF001 - of this package
    stats = cell.mailbox.stats()
    ident = _ident(getattr(cell.handle, "thread", None), turns)
    return Resident(id(cell), cell.name, ref.actor_class.__module__, stats.size, stats.capacity, stats.dropped, ident)


def _ident(thread: Any, turns: Iterator[int]) -> int | None:
    """A thread knows its ident only when it runs, and who starts an actor without `on_start` does not wait for that."""
    while thread is not None and thread.ident is None and next(turns, None) is not None:
        time.sleep(_TURN)
    return getattr(thread, "ident", None)


def _pykkas(ref: Any) -> Resident | None:
    inbox, cls = getattr(ref, "actor_inbox", None), ref.actor_class
    if not isinstance(inbox, queue.Queue):
        return None  # of another framework, such as eventlet
    return Resident(id(inbox), cls.__name__, cls.__module__, len(inbox.queue), inbox.maxsize or None, 0, None)


class Ties(NamedTuple):
    """Who would hear of an actor's end.

    Attributes:
        linked: The actors that it is linked to.
        monitors: How many monitor it.
    """

    linked: tuple[ActorRef[Any], ...]
    monitors: int


def living_actors() -> list[pykka.ActorRef[Any]]:
    """All actors of this process that live, those of plain Pykka included; asks none of them."""
    return [ref for ref in list(ActorRegistry._actor_refs) if ref.is_alive()]  # noqa: SLF001 - as above


def ties(ref: pykka.ActorRef[Any]) -> Ties | None:
    """Who would hear of the end of `ref`; `None` for an actor of plain Pykka, which has no such ties."""
    return Ties(*ref._cell.bonds.ties()) if isinstance(ref, ActorRef) else None  # noqa: SLF001 - of this package


def waiting_messages(ref: pykka.ActorRef[Any]) -> int | None:
    """How many messages wait for `ref`; `None` where its mailbox does not tell. About 0.2 us; no lock."""
    if isinstance(ref, ActorRef):
        return waiting_in(ref._cell.mailbox)  # noqa: SLF001 - of this package
    inbox: Any = ref.actor_inbox
    return len(inbox.queue) if isinstance(inbox, queue.Queue) else None


def backlog() -> tuple[int, list[tuple[int, pykka.ActorRef[Any]]]]:
    """How many actors live, and those for which messages wait, with how many; about 0.3 us an actor."""
    refs = list(ActorRegistry._actor_refs)  # noqa: SLF001 - as above
    return len(refs), [(count, ref) for ref in refs if (count := waiting_messages(ref))]


def thread_of(ref: pykka.ActorRef[Any]) -> int | None:
    """Ident of the thread of `ref`; `None` when it has none of its own. Waits a second at most for one that begins."""
    return _ours(ref, iter(range(_TURNS))).thread if isinstance(ref, ActorRef) else None
