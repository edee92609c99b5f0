"""Containers in module globals."""

from __future__ import annotations

import sys
from collections import deque
from types import ModuleType
from typing import Any

_SIZED: dict[type, Any] = {
    dict: dict.__len__,
    list: list.__len__,
    set: set.__len__,
    frozenset: frozenset.__len__,
    deque: deque.__len__,
}
_LARGEST = 10


def scan() -> dict[str, Any]:
    """Count containers and items in all modules; about 1 ms."""
    found: list[tuple[int, str, str]] = []
    for name, module in list(sys.modules.items()):
        if type(module) is not ModuleType:
            continue
        for variable, value in list(vars(module).items()):
            size = _SIZED.get(type(value))
            if size is not None and type(variable) is str and not variable.startswith("__"):
                found.append((size(value), f"{name}.{variable}", type(value).__name__))
    found.sort(reverse=True)
    largest = [{"name": name, "type": kind, "items": items} for items, name, kind in found[:_LARGEST]]
    return {"count": len(found), "items": sum(items for items, _, _ in found), "largest": largest}
