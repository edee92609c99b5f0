"""Text from the host on a terminal: shown, not obeyed."""

from __future__ import annotations

import json
from typing import Any


def safe(text: str) -> str:
    """A text whose control characters are shown as escapes; line breaks stay."""
    return "".join(char if char == "\n" or char.isprintable() else _escape(char) for char in text)


def line(text: object) -> str:
    """As `safe`, and line breaks are shown as escapes too: for what has one line, and must not make another."""
    return "".join(char if char.isprintable() else _escape(char) for char in str(text))


def lines(value: Any) -> Any:
    """The same value of JSON types, each text and each name in it made a `line`."""
    if isinstance(value, str):
        return line(value)
    if isinstance(value, dict):
        return {line(name): lines(one) for name, one in value.items()}
    return [lines(one) for one in value] if isinstance(value, list) else value


def as_json(value: Any) -> str:
    """One line of JSON in ASCII; DEL, which JSON leaves as it is, is escaped too."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def duration(seconds: float) -> str:
    """As people say it: ``42s``, ``3m10s``, ``5h02m``, ``12d04h``."""
    whole = max(0, int(seconds))
    for size, unit, smaller, below in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // smaller:02}{below}"
    return f"{whole}s"


def dollars(amount: float | None) -> str:
    """An amount of US dollars; small ones with four digits."""
    if amount is None:
        return "unknown cost"
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
