"""What the kernel says of the process's memory: resident, anonymous, swapped, huge pages."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/")
_WANTED = {
    "Rss": "rss_mb",
    "Pss": "proportional_mb",
    "Shared_Clean": "shared_clean_mb",
    "Shared_Dirty": "shared_dirty_mb",
    "Private_Clean": "private_clean_mb",
    "Private_Dirty": "private_dirty_mb",
    "Anonymous": "anonymous_mb",
    "AnonHugePages": "huge_pages_mb",
    "Swap": "swap_mb",
}


def rollup(root: Path = _ROOT) -> dict[str, float] | None:
    """``/proc/self/smaps_rollup`` in MB; ``None`` where there is none.

    The kernel walks all pages of the process: some milliseconds a gigabyte. Python runs on meanwhile.
    """
    try:
        lines = (root / "proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    fields = (line.split() for line in lines[1:])
    found = {
        _WANTED[field[0][:-1]]: round(int(field[1]) / 1024, 2)
        for field in fields
        if len(field) == 3 and field[0][:-1] in _WANTED and field[1].isdigit()
    }
    return found or None


def transparent_huge_pages(root: Path = _ROOT) -> str | None:
    """``always``, ``madvise`` or ``never``; ``None`` where the kernel does not say."""
    try:
        text = (root / "sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return None
    chosen = [word.strip("[]") for word in text.split() if word.startswith("[")]
    return chosen[0] if chosen else None
