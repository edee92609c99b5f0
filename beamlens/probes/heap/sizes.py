"""Bytes of objects: estimated from samples, bounded, without running any code of theirs."""

from __future__ import annotations

import gc
import sys
import types
from typing import Any

from beamlens.probes.heap.reading import (
    SIZED,
    attributes,
    exact,
    is_class,
    is_made_in_python,
    newest,
    newest_keys,
    oldest,
    size_of,
    slots,
)
from beamlens.probes.slices import Slices

_SHARED = (
    types.ModuleType,
    types.FrameType,
    types.TracebackType,
    types.BuiltinFunctionType,
    types.GetSetDescriptorType,
    types.FunctionType,
    types.MethodType,
    types.CodeType,
)
_MOST = 5000
_DEEPEST = 4


def deep_size(value: Any, seen: set[int], most: int = _MOST, depth: int = 0) -> float:
    """Bytes of a value and of what only it is likely to hold; classes, functions and modules count nothing.

    Args:
        value: The value.
        seen: Ids of what was counted already; grows.
        most: Objects to look at, over all calls with the same `seen`.
        depth: How deep it lies.
    """
    kind = type(value)
    if id(value) in seen or is_class(value) or issubclass(kind, _SHARED) or len(seen) > most:
        return 0.0
    seen.add(id(value))
    plain = exact(value) in SIZED or not is_made_in_python(kind)
    size = float(sys.getsizeof(value)) if plain else float(object.__sizeof__(value))
    if depth >= _DEEPEST:
        return size
    inner = newest(value, 50)
    count = size_of(value) or 0
    if issubclass(kind, dict):
        inner += newest_keys(value, 50)
        count *= 2
    elif not inner and plain and gc.is_tracked(value) and size_of(value) is None:
        inner = gc.get_referents(value)[:20]  # an extension's object
        count = len(inner)
    if inner:
        held = sum(deep_size(item, seen, most, depth + 1) for item in inner)
        size += held * max(1.0, count / len(inner))
    own = attributes(value)
    if own:
        size += sys.getsizeof(own)
        size += sum(deep_size(item, seen, most, depth + 1) for item in list(own.values())[:50])
    if not plain:
        size += sum(deep_size(item, seen, most, depth + 1) for _, item in slots(value))
    return size


def item_bytes(container: Any, samples: int = 20, most: int = 1000) -> float:
    """Bytes that an item of a built-in container takes, its key and its slot included; from both of its ends.

    Args:
        container: A built-in container, or an instance of a subclass of one.
        samples: Items to look at, at each end.
        most: Objects to look at.
    """
    count = size_of(container)
    if not count:
        return 0.0
    plain = exact(container) in SIZED or not is_made_in_python(type(container))
    slot = (sys.getsizeof(container) if plain else object.__sizeof__(container)) / count
    values = newest(container, samples)
    if count > 2 * samples:
        values += oldest(container, samples)
    if not values:
        return float(slot)
    slices, seen, total = Slices(), set[int](), 0.0
    for value in values:
        total += deep_size(value, seen, most)
        slices.pause()
    keys = newest_keys(container, samples)
    total_keys = sum(deep_size(key, seen, 2 * most) for key in keys)
    return float(slot) + total / len(values) + (total_keys / len(keys) if keys else 0.0)
