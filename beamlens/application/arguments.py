"""Checks of arguments; what is wrong is refused with its name and its value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from beamlens.errors import ConfigError


def seconds(field: str, value: object) -> float:
    """A time above 0.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise ConfigError(f"{field} must be seconds above 0, not {value!r}", field=field)
    return value


def whole(field: str, value: object) -> int:
    """A whole number of at least 1.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{field} must be a whole number of at least 1, not {value!r}", field=field)
    return value


def flag(field: str, value: object) -> bool:
    """True or False.

    Raises:
        ConfigError: It is neither.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{field} must be True or False, not {value!r}", field=field)
    return value


def choice(field: str, value: Any, choices: Iterable[str]) -> Any:
    """One of some texts.

    Raises:
        ConfigError: It is none of them; lists them.
    """
    if value not in choices:
        text = f"{field} {value!r} does not exist; the choices are: {', '.join(choices)}"
        raise ConfigError(text, field=field)
    return value
