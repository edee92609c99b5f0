"""What may go into the sandbox: JSON values within bounds, and no other object of the host."""

from __future__ import annotations

from typing import Any

MOST_TEXT = 1_000_000
MOST_VALUES = 50_000
MOST_DEPTH = 32
_LEAST_INT, _MOST_INT = -(1 << 63), (1 << 63) - 1


class NotPlain(Exception):  # noqa: N818 - an answer
    """A value cannot be passed; its text says why and holds nothing of the value."""


def plain(value: object) -> Any:
    """A copy of `value` made of ``None``, bool, int, float, str, list and dict only.

    Whole numbers that need more than 64 bits become floats, as Lua has no others.

    Raises:
        NotPlain: It is something else, or too much.
    """
    return _Copy().of(value, 0)


class _Copy:
    def __init__(self) -> None:
        self._values = 0
        self._text = 0

    def of(self, value: object, depth: int) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise NotPlain(f"the result has more than {MOST_VALUES} values; ask for less")
        if depth > MOST_DEPTH:
            raise NotPlain(f"the result is nested deeper than {MOST_DEPTH}, or in a circle")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._str(value)
        if isinstance(value, int):
            whole = int.__int__(value)
            return whole if _LEAST_INT <= whole <= _MOST_INT else _big(whole)
        if isinstance(value, float):
            return float.__float__(value)
        if isinstance(value, dict):
            return {self._key(key): self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.of(item, depth + 1) for item in value]
        raise NotPlain(f"the result holds a {type(value).__name__}, which is no JSON value")

    def _str(self, value: str) -> str:
        self._text += len(value)
        if self._text > MOST_TEXT:
            raise NotPlain("the result is larger than 1 MB; ask for less")
        return str.__str__(value)

    def _key(self, key: object) -> str | int:
        if isinstance(key, str):
            return self._str(key)
        if isinstance(key, int) and not isinstance(key, bool) and _LEAST_INT <= key <= _MOST_INT:
            return int.__int__(key)
        raise NotPlain(f"the result has a key that is a {type(key).__name__}; keys are texts")


def _big(whole: int) -> float:
    try:
        return float(whole)
    except OverflowError:
        return float("inf") if whole > 0 else float("-inf")
