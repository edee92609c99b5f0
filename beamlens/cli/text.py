"""Text from the host on a terminal: shown, not obeyed."""

from __future__ import annotations


def safe(text: str) -> str:
    """A text whose control characters are shown as escapes; line breaks stay."""
    return "".join(char if char == "\n" or char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
