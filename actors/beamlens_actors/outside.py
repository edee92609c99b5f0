# ruff: noqa: SLF001 - the cell of a ref is this package's own
"""Which actors live, and who would hear of their end: for whoever watches a system from outside."""

from __future__ import annotations

from typing import Any, NamedTuple

import pykka

from beamlens_actors.ref import ActorRef


class Ties(NamedTuple):
    """Who would hear of an actor's end.

    `linked` are the actors that it is linked to, `monitors` counts those that monitor it.
    """

    linked: tuple[ActorRef[Any], ...]
    monitors: int


def living_actors() -> list[pykka.ActorRef[Any]]:
    """All actors of this process that live, those of plain Pykka included; asks none of them."""
    return [ref for ref in pykka.ActorRegistry.get_all() if ref.is_alive()]


def ties(ref: pykka.ActorRef[Any]) -> Ties | None:
    """Who would hear of the end of `ref`; `None` for an actor of plain Pykka, which has no such ties."""
    return Ties(*ref._cell.bonds.ties()) if isinstance(ref, ActorRef) else None


def waiting_messages(ref: pykka.ActorRef[Any]) -> int | None:
    """How many messages wait for `ref`; `None` where its mailbox does not tell."""
    if isinstance(ref, ActorRef):
        return ref.mailbox_stats().size
    inbox: Any = ref.actor_inbox
    return int(inbox.qsize()) if hasattr(inbox, "qsize") else None
