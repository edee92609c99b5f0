"""Why do descriptors pile up? What they are, who holds them, and where they are opened."""

from __future__ import annotations

import dataclasses

from beamlens.detect import SensorState
from beamlens.domains.runtime import threads
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes import descriptors, heap, sites, source, stacks
from beamlens.probes.heap import Growing
from beamlens.probes.source import line_of

_WATCH = 2.5
_EXPLAINS = 0.5
_HELD_BY_THREADS = 0.4


def explain(sensor: SensorState) -> list[Evidence]:
    """Compare the open descriptors before and after 2.5 seconds, and find who holds the new ones."""
    before, threads_before = descriptors.targets(), len(stacks.look(1))
    if not before:
        return []
    growing, _complete = heap.find_growing(_WATCH)
    after = descriptors.targets()
    new_threads = len(stacks.look(1)) - threads_before
    new = {number: target for number, target in after.items() if before.get(number) != target}
    if not new:
        return [_stopped()]
    held = _held(growing, new)
    evidence = held or _opened_by_nobody_else(new) or [_unknown(new, sensor)]
    if new_threads >= _HELD_BY_THREADS * len(new):
        return _held_by_threads(evidence, new_threads, sensor)
    return evidence


def _held_by_threads(evidence: list[Evidence], new_threads: int, sensor: SensorState) -> list[Evidence]:
    """Threads came with the descriptors: each holds one while it waits, so the question is why they wait."""
    doubtful = [
        piece.model_copy(
            update={
                "strength": Strength.SUPPORTING,
                "text": f"{piece.text}; but {new_threads} threads were started in the same time, and may hold them",
            }
        )
        for piece in evidence
    ]
    return [*threads.explain(dataclasses.replace(sensor, data={"grown": float(new_threads)})), *doubtful]


def _held(growing: list[Growing], new: dict[int, str]) -> list[Evidence]:
    for one in growing:
        numbers = {number for item in one.items for number in descriptors.descriptors_of(item)}
        hits = [new[number] for number in numbers if number in new]
        if not hits:
            continue
        share = min(one.added, len(new)) / len(new)
        finding = sites.find(one.holder, stacks.sample(0.5).functions())
        place = finding.opens or finding.place
        text = (
            f"{len(new)} descriptors were opened and not closed in {one.seconds:.1f} s "
            f"({descriptors.describe(list(new.values()))}); {one.holder.path} ({one.type_name}) holds them: "
            f"{one.added} items more"
        )
        if place is not None:
            text += f"; {'opened' if finding.opens else finding.how}: {place}: {line_of(place)}"
        exact = finding.opens is not None or finding.exact
        conclusive = share >= _EXPLAINS and place is not None and exact
        return [
            Evidence(
                text=text,
                cause=CauseKind.DESCRIPTOR_LEAK,
                strength=Strength.CONCLUSIVE if conclusive else Strength.SUPPORTING,
                place=place,
                data={"new": len(new), "held": one.added, "holder": one.holder.path},
            )
        ]
    return []


def _opened_by_nobody_else(new: dict[int, str]) -> list[Evidence]:
    """Nobody holds them as objects: look for the one line of the user's that opens this kind without ``with``."""
    kinds = {descriptors.kind_of(target) for target in new.values()}
    if len(kinds) != 1:
        return []
    kind = kinds.pop()
    found: list[Place] = []
    for file in source.user_files():
        parsed = source.parse(file)
        if parsed is not None:
            found += [place for what, place in source.open_sites(parsed) if what in (kind, "any")]
    executing = stacks.sample(1.5).functions()
    running = [place for place in found if (place.file, place.function) in executing]
    chosen = running if len(running) == 1 else found
    if len(chosen) != 1:
        return []
    place = chosen[0]
    text = (
        f"{len(new)} descriptors were opened and not closed in {_WATCH:.1f} s "
        f"({descriptors.describe(list(new.values()))}); no container holds them; one line opens this kind: "
        f"{place}: {line_of(place)}"
    )
    return [Evidence(text=text, cause=CauseKind.DESCRIPTOR_LEAK, strength=Strength.SUPPORTING, place=place)]


def _unknown(new: dict[int, str], sensor: SensorState) -> Evidence:
    text = (
        f"{len(new)} descriptors were opened and not closed in {_WATCH:.1f} s "
        f"({descriptors.describe(list(new.values()))}); who opens them is not known"
    )
    data = {"new": len(new), "since": sensor.since}
    return Evidence(text=text, cause=CauseKind.DESCRIPTOR_LEAK, strength=Strength.SUPPORTING, data=data)


def _stopped() -> Evidence:
    text = f"no descriptor was opened and kept in {_WATCH:.1f} s: it does not go on"
    return Evidence(text=text, cause=CauseKind.DESCRIPTOR_LEAK, strength=Strength.EXCLUDES)
