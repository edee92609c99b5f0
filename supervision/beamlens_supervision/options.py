"""Checks of what supervisors and tasks are given, shared by them."""

from __future__ import annotations

from typing import TypeVar

from beamlens_supervision.errors import InvalidSupervisorOption

T = TypeVar("T")


def require(condition: bool, field: str, value: object, expected: str) -> None:
    """Refuse `value` unless `condition` holds.

    Raises:
        InvalidSupervisorOption: naming `field`, `value` and what was `expected`.
    """
    if not condition:
        raise InvalidSupervisorOption(field, value, expected)


def check_choice(field: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is none of `choices`.

    Raises:
        InvalidSupervisorOption: naming the choices.
    """
    require(isinstance(value, str) and value in choices, field, value, f"one of {', '.join(choices)}")


def check_name(name: object) -> None:
    """Refuse what cannot be displayed as a name.

    Raises:
        InvalidSupervisorOption: it is neither a text nor `None`.
    """
    require(name is None or isinstance(name, str), "name", name, "a string or None")


def check_callback(field: str, value: object) -> None:
    """Refuse what cannot be called.

    Raises:
        InvalidSupervisorOption: it is neither callable nor `None`.
    """
    require(value is None or callable(value), field, value, "callable or None")


def check_timeout(field: str, value: object) -> None:
    """Refuse what is no number of seconds.

    Raises:
        InvalidSupervisorOption: it is neither a number from 0 (infinity included) nor `None`.
    """
    require(value is None or is_seconds(value), field, value, "a number of seconds that is not negative, or None")


def is_seconds(value: object) -> bool:
    """Whether `value` is a number from 0; infinity is, NaN and `True` are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def is_whole(value: object, least: int) -> bool:
    """Whether `value` is a whole number of at least `least`; `True` is none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
