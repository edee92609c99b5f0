"""Finds the tables: what is registered, caches, and containers that a name of the program leads to."""

from __future__ import annotations

import gc
import types
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

from beamlens.domains.ets.tables import CACHETOOLS_DATA, Kind, Numbers, Table, content_of, numbers_of, too_large
from beamlens.probes.frames import is_library_file, is_standard_file
from beamlens.probes.heap import Holder, Path, Walk
from beamlens.probes.heap.paths import Gone
from beamlens.probes.heap.reading import LRU_CACHE, attributes, exact, is_class, name_of, size_of
from beamlens.probes.heap.sizes import deep_size, item_bytes
from beamlens.probes.slices import Slices
from beamlens.probes.tables import Registered, registered

MOST_TABLES = 200
_MOST_OBJECTS = 100_000
_SAMPLES = 10
_MOST_SAMPLED = 400


def survey() -> tuple[list[Table], bool]:
    """Find the tables; about 0.1 s of processor time for a service of ordinary size, in slices of 2 ms.

    Returns:
        At most 200 tables, the program's own before those of libraries, the largest first; and whether that is all.
    """
    found, ids = [], set()
    for entry, value in registered():
        ids.add(id(value))
        found.append(_registered(entry, value))
    walk = Walk(_MOST_OBJECTS, items=False, running=False)
    candidates = sorted(_candidates(walk, ids), key=lambda candidate: candidate[0])
    left = max(0, MOST_TABLES - len(found))
    slices = Slices()
    for _rank, value, index, path in candidates[:left]:
        found.append(_found(walk, value, index, path))
        slices.pause()
    walk.release()
    return found, walk.complete and len(candidates) <= left


def _registered(entry: Registered, value: Any) -> Table:
    def find() -> tuple[Any, Any]:
        living = entry.find()
        if living is None:
            raise Gone(entry.name)
        return living, None

    each, unknown = _item_bytes(value)
    return Table(entry.name, "registered", entry.type_name, find, None, each, unknown)


_Candidate = tuple[tuple[bool, bool, int], Any, int, Path]


def _candidates(walk: Walk, known: set[int]) -> Iterator[_Candidate]:
    slices = Slices()
    for value, index in chain(walk.caches, zip(walk.containers, walk.nodes, strict=True)):
        slices.pause()
        path = walk.path(index)
        if path is None or id(value) in known:
            continue
        if path.steps[-1][1] == CACHETOOLS_DATA:
            path = Path(path.module, path.steps[:-1])
            try:
                value = path.resolve()  # noqa: PLW2901 - the cache stands for its dict
            except Gone:
                continue
            if id(value) in known:
                continue
        elif path.steps[-1][0] == "cache":  # the dict of a cache that is a table itself
            continue
        numbers = numbers_of(value)
        if numbers is None or (numbers.size == 0 and exact(value) is not LRU_CACHE and not _users(walk, index)):
            continue
        known.add(id(value))
        yield (not _users(walk, index), exact(value) is not LRU_CACHE, -numbers.size), value, index, path


def _users(walk: Walk, index: int) -> bool:
    holder = walk.holder(index)
    return holder is not None and not is_library_file(holder.file) and not is_standard_file(holder.file)


def _found(walk: Walk, value: Any, index: int, path: Path) -> Table:
    kind: Kind = "container" if size_of(value) is not None else "cache"
    each, unknown = _item_bytes(value)
    return Table(
        name=str(path),
        kind=kind,
        type_name="functools.lru_cache" if exact(value) is LRU_CACHE else name_of(type(value)),
        find=partial(path.resolve_with_parent),
        holder=_cache_holder(value) or walk.holder(index),
        item_bytes=each,
        unknown=unknown,
        users=_users(walk, index),
    )


def _cache_holder(value: Any) -> Holder | None:
    """The function whose results a ``functools`` cache keeps."""
    wrapped = (attributes(value) or {}).get("__wrapped__") if exact(value) is LRU_CACHE else None
    if type(wrapped) is not types.FunctionType:
        return None
    code = wrapped.__code__
    name, line = code.co_qualname, code.co_firstlineno
    return Holder("cache", code.co_name, "", code.co_filename, name, f"cache of {name}", line)


def _item_bytes(value: Any) -> tuple[float | None, str]:
    if exact(value) is not LRU_CACHE:
        return item_bytes(content_of(value), _SAMPLES, _MOST_SAMPLED), ""
    numbers = numbers_of(value)
    if numbers is None or not numbers.size:
        return 0.0, ""
    if too_large(numbers):
        return None, "a bounded functools cache of this size cannot be read without stalling other threads"
    return _lru_item_bytes(value, numbers), ""


def _lru_item_bytes(cache: Any, numbers: Numbers) -> float:
    """A bounded cache refers to its keys, results and links; an unbounded one keeps all in its dict."""
    referents = gc.get_referents(cache)
    if numbers.maxsize is None:
        content = max((item for item in referents if type(item) is dict), key=len, default={})
        return item_bytes(content, _SAMPLES, _MOST_SAMPLED)
    step = max(1, len(referents) // (6 * _SAMPLES))
    sample = [item for item in referents[::step] if not is_class(item) and type(item) is not dict]
    seen: set[int] = set()
    total = sum(deep_size(item, seen, _MOST_SAMPLED) for item in sample)
    return 2 * total / max(1, len(sample)) + 160.0  # key and result; the link and the dict's entry
