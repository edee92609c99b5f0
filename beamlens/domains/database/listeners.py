"""Puts listeners on an engine and takes them away while its statements are under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

Listener = Callable[..., Any]


def add(engine: Engine, listeners: Mapping[str, Listener]) -> None:
    """Listen to an engine, its pool and its dialect.

    Args:
        engine: The engine.
        listeners: Event name to function; that of ``before_cursor_execute`` returns statement and parameters.
    """
    from sqlalchemy import event

    _let_readers_finish(engine, listeners)
    for name, listener in listeners.items():
        options = {"retval": True} if name == "before_cursor_execute" else {}
        event.listen(engine, name, listener, **options)


def remove(engine: Engine, listeners: Mapping[str, Listener]) -> None:
    """Listen no longer; what is gone already is passed over."""
    from sqlalchemy import event

    _let_readers_finish(engine, listeners)
    for name, listener in listeners.items():
        if event.contains(engine, name, listener):
            event.remove(engine, name, listener)
    for target in (engine, engine.dialect):
        _forget_events(target)


def are_there(engine: Engine, listeners: Mapping[str, Listener]) -> bool:
    """Whether all of them are still listened to; the host may have taken some out."""
    from sqlalchemy import event

    return all(event.contains(engine, name, listener) for name, listener in listeners.items())


def _let_readers_finish(engine: Engine, names: Mapping[str, Listener]) -> None:
    """Give each event a copy of its list of listeners, which may be changed.

    SQLAlchemy changes the list in place, and a thread that walks it meanwhile, inside of somebody's listener, gets a
    ``RuntimeError`` in the middle of the host's statement. Now it walks the old one to its end.
    """
    for dispatch in (engine.dispatch, engine.pool.dispatch, engine.dialect.dispatch):
        for name in names:
            found: Any = getattr(dispatch, name, None)
            if isinstance(getattr(found, "listeners", None), deque):
                found.listeners = deque(found.listeners)


def _forget_events(target: Any) -> None:
    """Give an engine its fast path back: SQLAlchemy keeps to the slow one once it has had a listener."""
    # That of an engine with other options is joined to its engine's: what it heard itself is in `local`.
    dispatch = getattr(target.dispatch, "local", target.dispatch)
    if not any(getattr(dispatch, name, ()) for name in dispatch._event_names):  # noqa: SLF001
        vars(target).pop("_has_events", None)
