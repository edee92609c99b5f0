"""Stands before the functions of a dialect that hand a statement to the driver.

SQLAlchemy has events there. But with a listener of a statement or a transaction on its engine every statement takes a
slower way through SQLAlchemy, whatever the listener does: that alone costs more than all that is done here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

Execute = Callable[[Any, str, Any, Any], Any]
"""Called with cursor, statement, parameters, context."""
Wrap = Callable[[Execute], Execute]
"""Makes a function that hears what it passes on to another one."""

_WITH_PARAMETERS = ("do_execute", "do_executemany")
_WITHOUT = "do_execute_no_params"
_TAP = "_beamlens_tap"


class _Tap:
    """What all who hear one dialect share: attributes of the instance, over the methods of its class.

    A statement under way goes on through the functions that it found.
    """

    def __init__(self, dialect: Any) -> None:
        self.wraps: tuple[Wrap, ...] = ()
        names = (*_WITH_PARAMETERS, _WITHOUT)
        self._before: dict[str, Any] = {name: vars(dialect)[name] for name in names if name in vars(dialect)}
        self._functions: dict[str, Any] = {name: getattr(dialect, name) for name in names}
        self._mine: dict[str, Any] = {}

    def stands(self, dialect: Any) -> bool:
        """Whether nobody put something over ours, or took ours out."""
        return all(vars(dialect).get(name) is mine for name, mine in self._mine.items())

    def put(self, dialect: Any, wraps: tuple[Wrap, ...]) -> None:
        """Have these hear; none: as it was before."""
        self.wraps = wraps
        self._mine = {}
        for name, function in self._functions.items():
            if wraps:
                self._mine[name] = _wrapped(name, function, wraps)
                setattr(dialect, name, self._mine[name])
            elif name in self._before:
                setattr(dialect, name, self._before[name])
            else:
                vars(dialect).pop(name, None)


def add(dialect: Any, wrap: Wrap) -> None:
    """Hear a dialect's statements; heard already: nothing changes.

    Args:
        dialect: Of one engine, and of those that differ from it in their options.
        wrap: Makes what hears. Once it is removed, what it made may still be called: where somebody else's wrapper
            lies over it. Then it only passes on.
    """
    tap = vars(dialect).get(_TAP)
    if not isinstance(tap, _Tap) or not tap.stands(dialect):
        tap = _Tap(dialect)
        setattr(dialect, _TAP, tap)
    if wrap not in tap.wraps:
        tap.put(dialect, (*tap.wraps, wrap))


def remove(dialect: Any, wrap: Wrap) -> None:
    """Hear them no longer."""
    tap = vars(dialect).get(_TAP)
    if not isinstance(tap, _Tap) or not tap.stands(dialect):
        return
    left = tuple(other for other in tap.wraps if other != wrap)
    tap.put(dialect, left)
    if not left:
        delattr(dialect, _TAP)


def is_heard(dialect: Any, wrap: Wrap) -> bool:
    """Whether it is heard for sure: nobody has replaced or wrapped the functions since."""
    tap = vars(dialect).get(_TAP)
    return isinstance(tap, _Tap) and wrap in tap.wraps and tap.stands(dialect)


def _wrapped(name: str, function: Any, wraps: tuple[Wrap, ...]) -> Any:
    if name != _WITHOUT:
        return _heard_by(wraps, function)
    heard = _heard_by(wraps, lambda cursor, statement, _parameters, context: function(cursor, statement, context))
    return lambda cursor, statement, context=None: heard(cursor, statement, None, context)


def _heard_by(wraps: tuple[Wrap, ...], execute: Execute) -> Execute:
    return functools.reduce(lambda inner, wrap: wrap(inner), wraps, execute)
