"""How many objects of which type there are: all of them, or only the youngest."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from beamlens.evidence import Place
from beamlens.probes import source
from beamlens.probes.frames import is_library_file, is_own_module, is_standard_file
from beamlens.probes.heap import Walk
from beamlens.probes.heap.holders import module_file
from beamlens.probes.heap.reading import is_made_in_python, module_of, name_of, shallow_size
from beamlens.probes.slices import Slices
from beamlens_actors import AbortSignal

_MOST_BLOCKS = 400_000
_MOST_YOUNG = 200_000
_RELEASED = 1000


@dataclass(frozen=True, slots=True)
class TypeRow:
    """Objects of one type.

    Attributes:
        name: Qualified name of the type.
        module: Its module.
        objects: How many.
        bytes: What they take, without what they refer to.
        users: Whether the program defines the type, and not Python or a library.
    """

    name: str
    module: str
    objects: float
    bytes: float
    users: bool

    @property
    def full_name(self) -> str:
        """Module and name; of built-in types the name alone."""
        return self.name if self.module == "builtins" else f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Census:
    """Objects by type, the most first.

    Attributes:
        rows: One a type.
        total: Objects in all.
        exact: Whether every object was counted; otherwise it is estimated from what names lead to.
        complete: Whether the bound on what is visited was not met.
    """

    rows: tuple[TypeRow, ...]
    total: float
    exact: bool
    complete: bool = True

    def of(self, full_name: str) -> float:
        """Objects of a type."""
        return sum(row.objects for row in self.rows if row.full_name == full_name)


def take() -> Census:
    """Count the objects that the collector tracks.

    In a heap of at most 400 000 blocks all are counted, which takes one call of some milliseconds and then slices. In a
    larger one that call would stall other threads for more than 10 ms, so types are estimated by a walk over at most
    200 000 objects, half a second to two seconds in slices: garbage that waits for the collector is not seen by it. So
    it is where the program has called ``gc.freeze()``: the collector lists nothing of what it froze.
    """
    if sys.getallocatedblocks() <= _MOST_BLOCKS and not gc.get_freeze_count():
        counts: dict[int, list[Any]] = {}
        _count(gc.get_objects(), counts)
        return _census(counts.values(), exact=True)
    walk = Walk()
    found = [[one.kind, one.objects, one.bytes] for one in walk.types.values()]
    taken = _census(found, exact=False, complete=walk.complete)
    walk.release()
    return taken


def young(looks: int = 25, pause: float = 0.02, abort: AbortSignal | None = None) -> Census | None:
    """Sample the youngest generation: what the program makes now, and the collector has not judged yet.

    Args:
        looks: How often to look; the counts are sums over all looks.
        pause: Seconds between looks.
        abort: Ends it early.

    Returns:
        The types; ``None`` when the generation is too large (200 000 objects) to be read without a stall.
    """
    abort = abort or AbortSignal()
    counts: dict[int, list[Any]] = {}
    for _ in range(looks):
        if gc.get_count()[0] > _MOST_YOUNG:
            return None
        _count(gc.get_objects(generation=0), counts)
        if abort.wait(pause):
            break
    return _census(counts.values(), exact=True)


def _count(objects: list[Any], counts: dict[int, list[Any]]) -> None:
    """Count, and let go of the objects slice by slice: one of them may be kept alive by nothing else."""
    slices = Slices()
    while objects:
        for value in objects[-_RELEASED:]:
            kind = type(value)
            entry = counts.get(id(kind))
            if entry is None:
                entry = counts[id(kind)] = [kind, 0, 0]
            entry[1] += 1
            entry[2] += shallow_size(value)
        value = None
        del objects[-_RELEASED:]
        slices.pause()


def _census(counts: Iterable[Iterable[Any]], *, exact: bool, complete: bool = True) -> Census:
    rows, total = [], 0.0
    for kind, objects, size in counts:
        module = module_of(kind)
        if is_own_module(module):
            continue
        total += objects
        rows.append(TypeRow(name_of(kind), module, objects, size, _is_users(kind, module)))
    rows.sort(key=lambda row: -row.objects)
    return Census(tuple(rows), total, exact, complete)


def _is_users(kind: type, module: str) -> bool:
    if not is_made_in_python(kind):
        return False
    file = module_file(module)
    return bool(file) and not is_standard_file(file) and not is_library_file(file)


def makers(row: TypeRow, executing: set[tuple[str, str]]) -> tuple[Place | None, bool]:
    """The line that makes the objects of a type of the program's, by its source.

    Args:
        row: The type.
        executing: (file, function) that were seen running lately; decides between several lines.

    Returns:
        The line, and whether it is the only one; where there are several or none, the definition of the class.
    """
    if not row.users:
        return None, False
    name = row.name.rpartition(".")[2]
    found: list[Place] = []
    for file in source.user_files():
        parsed = source.parse(file)
        if parsed is not None:
            found += source.call_sites(parsed, frozenset({name}))
    running = [place for place in found if (place.file, place.function) in executing]
    found = running or found
    if len({(place.file, place.line) for place in found}) == 1:
        return found[0], True
    parsed = source.parse(module_file(row.module))
    return (source.class_site(parsed, row.name) if parsed is not None else None), False
