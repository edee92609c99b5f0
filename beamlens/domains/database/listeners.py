"""Puts listeners on an engine's pool and takes them away while the pool is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

Listener = Callable[..., Any]


def add(engine: Engine, listeners: Mapping[str, Listener]) -> None:
    """Listen to an engine's pool, and to those that it will have.

    Args:
        engine: The engine.
        listeners: Name of a pool's event to function.
    """
    from sqlalchemy import event

    _let_readers_finish(engine, listeners)
    for name, listener in listeners.items():
        event.listen(engine, name, listener)


def remove(engine: Engine, listeners: Mapping[str, Listener]) -> None:
    """Listen no longer; what is gone already is passed over."""
    from sqlalchemy import event

    _let_readers_finish(engine, listeners)
    for name, listener in listeners.items():
        if event.contains(engine, name, listener):
            event.remove(engine, name, listener)


def are_there(engine: Engine, listeners: Mapping[str, Listener]) -> bool:
    """Whether all of them are still listened to; the host may have taken some out."""
    from sqlalchemy import event

    return all(event.contains(engine, name, listener) for name, listener in listeners.items())


def _let_readers_finish(engine: Engine, names: Mapping[str, Listener]) -> None:
    """Give each event a copy of its list of listeners, which may be changed.

    SQLAlchemy changes the list in place, and a thread that walks it meanwhile, inside of somebody's listener, gets a
    ``RuntimeError`` in the middle of what the host does. Now it walks the old one to its end.
    """
    for name in names:
        found: Any = getattr(engine.pool.dispatch, name, None)
        if isinstance(getattr(found, "listeners", None), deque):
            found.listeners = deque(found.listeners)
