"""Small files of the kernel, as text; what is not there is nothing, never an error."""

from __future__ import annotations

from pathlib import Path

_MOST = 1 << 20


def text(path: Path | str) -> str:
    """The first megabyte of a file; ``""`` when it cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - often, and small
            return file.read(_MOST).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def number(content: str) -> int | None:
    """A whole number, or ``None``: also for ``max``."""
    content = content.strip()
    return int(content) if content.isascii() and content.isdigit() else None


def fields(content: str) -> dict[str, int]:
    """Lines of ``name value`` or ``name: value kB``, as in ``meminfo``, ``vmstat`` and ``cpu.stat``."""
    found = {}
    for line in content.splitlines():
        words = line.replace(":", " ", 1).split()
        if len(words) >= 2 and (value := number(words[1])) is not None:
            found[words[0]] = value
    return found
