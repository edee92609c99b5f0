"""Why memory is held that nobody uses, and what can be done about it."""

from __future__ import annotations

import os

from beamlens.domains.allocator import glibc
from beamlens.domains.allocator.glibc import Arena
from beamlens.domains.allocator.look import MB, Look
from beamlens.domains.allocator.pymalloc import PymallocNumbers
from beamlens.evidence import Evidence, Strength

CAUSE = "heap_fragmentation"
MODERATE, SEVERE = 0.5, 0.3
_MANY_ARENAS = 4
_WORTH_A_TRIM = 50e6


def grade(usage: float | None) -> str:
    """``unknown``, ``healthy``, ``moderate`` (less than half in use) or ``severe`` (less than three tenths)."""
    if usage is None:
        return "unknown"
    return "severe" if usage < SEVERE else "moderate" if usage < MODERATE else "healthy"


def explain(now: Look, arenas: list[Arena]) -> list[Evidence]:
    """Which allocator holds the memory that is free, the worst first."""
    found = sorted(now.allocators(), key=lambda one: -one.free)
    total = sum(one.free for one in found)
    evidence = []
    for one in found:
        if one.usage is None or one.usage >= MODERATE or one.free < 0.3 * total:
            continue
        text = f"{one.name} holds {one.held / MB:.0f} MB and uses {100 * one.usage:.0f} % of it: {one.free / MB:.0f} MB"
        text += " are free but not given back to the system"
        if one.name == "glibc" and len(arenas) > _MANY_ARENAS:
            text += f"; they are spread over {len(arenas)} arenas"
        if one.name == "pymalloc" and (sparse := sparsest(now)):
            text += f"; most of it in blocks of {sparse}"
        strength = Strength.CONCLUSIVE if one.free >= 0.6 * total else Strength.SUPPORTING
        data = {"allocator": one.name, "free_mb": round(one.free / MB, 1), "usage": round(one.usage, 3)}
        evidence.append(Evidence(text=text, cause=CAUSE, strength=strength, data=data))
    return evidence or [_used(now)]


def sparsest(now: Look) -> str:
    """The size of blocks of which most memory is free, with its numbers."""
    if not isinstance(now.python, PymallocNumbers) or not now.python.classes:
        return ""
    worst = max(now.python.classes, key=lambda one: one.size * one.free)
    return f"{worst.size} bytes ({worst.free} free of {worst.free + worst.used})"


def _used(now: Look) -> Evidence:
    text = f"the allocators use most of what they hold: {(now.free or 0) / MB:.0f} MB are free in them"
    return Evidence(text=text, cause=CAUSE, strength=Strength.EXCLUDES)


def advice(now: Look, arenas: list[Arena]) -> list[str]:
    """What a person may do; nothing of it is done here."""
    found = []
    c = now.c
    if not isinstance(c, str) and c.free >= _WORTH_A_TRIM and (c.usage or 1.0) < MODERATE:
        found.append(
            f"malloc_trim(0) may give back up to {c.free / MB:.0f} MB of glibc's free memory, in whole pages only; "
            "it locks each arena while it works, so call it where a pause does no harm"
        )
    cores = os.cpu_count() or 1
    if glibc.arena_limit() is None and len(arenas) > max(_MANY_ARENAS, cores):
        found.append(
            f"{len(arenas)} arenas on {cores} cores, and no MALLOC_ARENA_MAX is set: with MALLOC_ARENA_MAX=2 in the "
            "environment threads share arenas, which holds less memory and costs some waiting for locks"
        )
    python = now.python
    if isinstance(python, PymallocNumbers) and python.held - python.used >= _WORTH_A_TRIM and (python.usage or 1) < 0.5:
        found.append(
            "pymalloc gives an arena of 1 MB back only when every block in it is free: long-lived objects made among "
            "many short-lived ones keep it; make them before, or do such work in a process of its own"
        )
    return found
