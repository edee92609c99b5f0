"""Anybody's exceptions and values as text: what makes that text is foreign code, and may itself raise."""

from __future__ import annotations


def text_of(error: BaseException) -> str:
    """What an exception says, as `str` does; never raises."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - anybody's __str__
        return "<no text: __str__ failed>"


def in_words(error: BaseException) -> str:
    """An exception's type and what it says; never raises."""
    return f"{type(error).__name__}: {text_of(error)}"


def os_reason(error: OSError) -> str:
    """What the system says of a call that failed, without the path."""
    return error.strerror or text_of(error) or type(error).__name__


def shown(value: object) -> str:
    """A value as `repr` shows it; never raises."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - anybody's __repr__
        return f"<{type(value).__name__}: __repr__ failed>"


__all__ = ["in_words", "os_reason", "shown", "text_of"]
