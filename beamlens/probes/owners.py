"""From open descriptors to the Python objects that hold them, and to the lines that opened them."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from beamlens.evidence import Place
from beamlens.probes import frames, heap, sites, source, stacks
from beamlens.probes.descriptors import descriptors_of
from beamlens.probes.frames import is_library_file, is_standard_file
from beamlens.probes.heap.reading import newest
from beamlens.probes.slices import Slices
from beamlens.probes.source import line_of
from beamlens_actors.thread_frames import thread_frames

_DEPTH = 3
_MOST_FRAMES = 64


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds some descriptors.

    Attributes:
        held: The descriptors.
        holder: What holds them, to read: ``app.POOL (list)``, ``code that runs in 3 threads``.
        place: Where they are opened or put there; ``None`` when the source does not tell.
        how: What the place is, in words.
        exact: Whether it is the only line that it can be.
    """

    held: frozenset[int]
    holder: str
    place: Place | None
    how: str
    exact: bool

    def describe(self) -> str:
        """For a sentence: ``app.POOL (list) holds 12 of them; opened: app.py:8 in serve: conn, _ = s.accept()``."""
        text = f"{self.holder} holds {len(self.held)} of them"
        return text if self.place is None else f"{text}; {self.how}: {self.place}: {line_of(self.place)}"


def find(numbers: AbstractSet[int]) -> list[Owner]:
    """Find who holds descriptors: containers first, then variables of running functions; the user's before libraries'.

    Walks the heap in slices: up to about a second for a large one.

    Returns:
        Owners, those who hold the most first; each descriptor at one of them.
    """
    found: list[Owner] = []
    left = set(numbers)
    for held, holder, type_name in _containers(left):
        mine = held & left
        if not mine:
            continue
        finding = sites.find(holder, stacks.sample(0.3).functions())
        place = finding.opens or finding.place
        how = "opened" if finding.opens is not None else finding.how
        exact = finding.opens is not None or finding.exact
        found.append(Owner(frozenset(mine), f"{holder.path} ({type_name})", place, how, exact))
        left -= mine
        if len(found) == 3:
            break
    return sorted([*found, *_running(left)], key=lambda owner: -len(owner.held))


def _containers(numbers: AbstractSet[int]) -> list[tuple[frozenset[int], heap.Holder, str]]:
    walk = heap.Walk()
    slices = Slices()
    held: dict[heap.Holder, set[int]] = defaultdict(set)
    types: dict[heap.Holder, str] = {}
    for container, index in zip(walk.containers, walk.nodes, strict=True):
        slices.pause()
        hits: set[int] = set()
        for item in newest(container):
            hits.update(numbers & set(descriptors_of(item, _DEPTH)))
            slices.pause()
        if hits and (holder := walk.holder(index)) is not None:
            held[holder] |= hits
            types[holder] = type(container).__name__
    walk.release()
    ranked = sorted(held.items(), key=lambda item: (_is_foreign(item[0].file), item[0].kind == "local", -len(item[1])))
    return [(frozenset(hits), holder, types[holder]) for holder, hits in ranked]


def _is_foreign(file: str) -> bool:
    return not file or is_standard_file(file) or is_library_file(file)


def _running(numbers: AbstractSet[int]) -> list[Owner]:
    """Threads whose functions have the descriptors in variables, by the line of the user's at which they stand."""
    places: dict[tuple[str, int, str], set[int]] = defaultdict(set)
    threads: dict[tuple[str, int, str], int] = defaultdict(int)
    own = threading.get_ident()
    slices = Slices()
    for ident, top in list(thread_frames().items()):
        slices.pause()
        frame, place = (None if ident == own else top), frames.user_place(frames.walk(top))
        if place is None:
            continue
        hits: set[int] = set()
        for _depth in range(_MOST_FRAMES):
            if frame is None:
                break
            for value in list(frame.f_locals.values()) if frame.f_code.co_name != "<module>" else ():
                hits.update(numbers & set(descriptors_of(value, 1)))
            frame = frame.f_back
        if hits:
            key = (place.file, place.line, place.function)
            places[key] |= hits
            threads[key] += 1
    return [
        Owner(
            frozenset(hits),
            f"code that runs in {threads[key]} thread{'s' if threads[key] != 1 else ''}",
            Place(file=key[0], line=key[1], function=key[2]),
            "where it stands",
            exact=True,
        )
        for key, hits in places.items()
    ]


def opening_line(kinds: AbstractSet[str]) -> Place | None:
    """The one line of the user's that opens descriptors of these kinds without ``with``; ``None`` if there are more.

    Those that run now decide between several; takes 1.5 seconds.
    """
    found: list[Place] = []
    for file in source.user_files():
        parsed = source.parse(file)
        if parsed is not None:
            found += [place for what, place in source.open_sites(parsed) if what in kinds or what == "any"]
    executing = stacks.sample(1.5).functions()
    running = [place for place in found if (place.file, place.function) in executing]
    chosen = running if len(running) == 1 else found
    return chosen[0] if len(chosen) == 1 else None
