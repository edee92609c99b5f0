"""Small files of the kernel, as text; what is not there is nothing, never an error."""

from __future__ import annotations

import os
from pathlib import Path

_MOST = 1 << 20
_CHUNK = 1 << 16


def text(path: Path | str) -> str:
    """The first megabyte of a file; ``""`` when it cannot be read."""
    # Bare system calls: a score of these files are read each time, and a file object would cost as much again.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return ""
    try:
        content = os.read(descriptor, _CHUNK)
        # A file of the kernel's may be told a page at a time: only an empty piece is its end.
        while content and len(content) < _MOST and (more := os.read(descriptor, _CHUNK)):
            content += more
        return content[:_MOST].decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


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
