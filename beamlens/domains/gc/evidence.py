"""Why does the collector take so long, and what can it not free?"""

from __future__ import annotations

import gc
from collections import Counter
from itertools import islice

from beamlens.detect import SensorState
from beamlens.domains import leaks
from beamlens.domains.gc.pauses import GENERATIONS
from beamlens.domains.gc.recorder import GcRecorder
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes import census, source, stacks
from beamlens.probes.census import Census, TypeRow
from beamlens.probes.heap import Walk
from beamlens.probes.heap.reading import module_of, name_of
from beamlens.probes.source import line_of
from beamlens_actors import clock

_WINDOW = 30.0
_FEWEST_YOUNG = 500
_SHARE = 0.15
_GARBAGE_PER_S = 500.0
_UNREACHABLE = 0.3
_SAMPLED_GARBAGE = 1000


def explain(sensor: SensorState, recorder: GcRecorder) -> list[Evidence]:
    """Facts about an active sensor; one to five seconds, in slices."""
    match sensor.metric:
        case "uncollectable":
            return _uncollectable()
        case "rss_while_disabled_mb":
            return _disabled(sensor)
        case _:
            return _pressure(recorder)


def _pressure(recorder: GcRecorder) -> list[Evidence]:
    young = census.young()
    executing = stacks.sample(0.5).functions()
    seen = _work(recorder)
    if (asked := _asked_for(recorder, executing, seen)) is not None:
        return [asked]
    if young is None or young.total < _FEWEST_YOUNG:
        return [Evidence(text=seen, cause=CauseKind.GC_PRESSURE, strength=Strength.SUPPORTING)]
    rows = [row for row in young.rows if row.users][:3]
    if not rows or rows[0].objects < _SHARE * young.total:
        return [_by_line(young, executing, seen)]
    return [_by_type(rows[0], young, executing, seen, recorder)]


def garbage_per_second(recorder: GcRecorder, seconds: float = _WINDOW) -> float:
    """Objects that the collector freed, a second."""
    tallies = recorder.pauses.tallies(clock.monotonic(), seconds)
    span = sum(tally.span for tally in tallies)
    return sum(tally.collected for tally in tallies) / span if span > 0 else 0.0


def _work(recorder: GcRecorder) -> str:
    """What the collector did in the last half minute, as a sentence without its end."""
    now = clock.monotonic()
    tallies = recorder.pauses.tallies(now, _WINDOW)
    span = sum(tally.span for tally in tallies)
    runs = [sum(tally.runs[generation] for tally in tallies) for generation in GENERATIONS]
    share = recorder.pauses.share_pct(now, _WINDOW) or 0.0
    longest = max((pause.ms for pause in recorder.pauses.long(now, _WINDOW, 0.0)), default=0.0)
    return (
        f"the collector took {share:.1f} % of the last {span:.0f} s ({runs[0]} young, {runs[1]} middle, {runs[2]} full "
        f"collections; the longest pause above 10 ms: {longest:.0f} ms) and freed "
        f"{garbage_per_second(recorder):.0f} objects a second"
    )


def _by_type(row: TypeRow, young: Census, executing: set[tuple[str, str]], seen: str, recorder: GcRecorder) -> Evidence:
    place, exact = census.makers(row, executing)
    share = row.objects / young.total
    text = f"{seen}; {share:.0%} of the {young.total:.0f} young objects that were sampled are {row.full_name}"
    if place is not None:
        text += f", {'made only at' if exact else 'a class defined at'} {place}: {line_of(place)}"
    cyclic = garbage_per_second(recorder) >= _GARBAGE_PER_S
    return Evidence(
        text=text,
        cause=CauseKind.GC_PRESSURE,
        strength=Strength.CONCLUSIVE if exact and cyclic else Strength.SUPPORTING,
        place=place,
        data={"type": row.full_name, "share": round(share, 3), "sampled": young.total},
    )


def _by_line(young: Census, executing: set[tuple[str, str]], seen: str) -> Evidence:
    top = ", ".join(f"{row.full_name} ({row.objects / young.total:.0%})" for row in young.rows[:3])
    running = ", ".join(sorted(f"{function} in {file}" for file, function in executing)[:3])
    text = f"{seen}; the young objects that were sampled are mostly {top}"
    text += f"; functions seen running: {running}" if running else ""
    return Evidence(text=text, cause=CauseKind.GC_PRESSURE, strength=Strength.SUPPORTING)


def _asked_for(recorder: GcRecorder, executing: set[tuple[str, str]], seen: str) -> Evidence | None:
    """Full collections that nothing but a call asks for: the thresholds start a hundred young ones for each."""
    tallies = recorder.pauses.tallies(clock.monotonic(), _WINDOW)
    young, full = (sum(tally.runs[generation] for tally in tallies) for generation in (0, 2))
    if full < 5 or full * 10 < young:
        return None
    found: list[Place] = []
    for file in source.user_files():
        parsed = source.parse(file)
        if parsed is not None:
            found += [
                p for p in source.call_sites(parsed, "collect") if "gc" in line_of(p) or "collect()" in line_of(p)
            ]
    found = [place for place in found if (place.file, place.function) in executing] or found
    place = found[0] if len({(p.file, p.line) for p in found}) == 1 else None
    text = f"{seen}: {full} full collections against {young} young ones are asked for by calls of gc.collect()"
    if place is not None:
        text += f"; the only such call: {place}: {line_of(place)}"
    return Evidence(
        text=text,
        cause=CauseKind.GC_PRESSURE,
        strength=Strength.CONCLUSIVE if place is not None else Strength.SUPPORTING,
        place=place,
        data={"full": full, "young": young},
    )


def _uncollectable() -> list[Evidence]:
    count = len(gc.garbage)
    kinds = Counter(
        f"{module_of(type(value))}.{name_of(type(value))}" for value in islice(reversed(gc.garbage), _SAMPLED_GARBAGE)
    )
    top = ", ".join(f"{name} ({number})" for name, number in kinds.most_common(3))
    text = f"gc.garbage holds {count} objects; of the newest {kinds.total()}: {top}"
    if gc.get_debug() & gc.DEBUG_SAVEALL:
        text += "; gc.DEBUG_SAVEALL is set: whatever the collector finds is kept there instead of freed"
    return [
        Evidence(
            text=text,
            cause="uncollectable_objects",
            strength=Strength.CONCLUSIVE if gc.get_debug() & gc.DEBUG_SAVEALL else Strength.SUPPORTING,
            data={"count": count, "saveall": bool(gc.get_debug() & gc.DEBUG_SAVEALL)},
        )
    ]


def _disabled(sensor: SensorState) -> list[Evidence]:
    """Memory grows while the collector is off: is it a container, or garbage that nobody collects?"""
    evidence = leaks.explain(sensor.data.get("rate_per_s", 0.0), "the process's memory")
    if any(piece.strength == Strength.CONCLUSIVE for piece in evidence):
        return evidence
    waiting = gc.get_count()[0]
    text = f"the collector is disabled, and {waiting} more container objects were made than freed since it last ran"
    young = census.young(1)
    row = next((row for row in young.rows if row.users), None) if young is not None else None
    if row is None:
        return [*evidence, Evidence(text=text, cause="gc_disabled", strength=Strength.SUPPORTING)]
    walk = Walk()
    reachable = sum(
        one.objects for one in walk.types.values() if (module_of(one.kind), name_of(one.kind)) == (row.module, row.name)
    )
    walk.release()
    place, exact = census.makers(row, stacks.sample(0.5).functions())
    text += f"; {row.objects:.0f} of them are {row.full_name}, of which names lead to about {reachable:.0f}"
    if place is not None:
        text += f"; {'made only at' if exact else 'a class defined at'} {place}: {line_of(place)}"
    garbage = walk.complete and reachable <= _UNREACHABLE * row.objects and row.objects >= 1000
    return [
        *evidence,
        Evidence(
            text=text,
            cause="gc_disabled",
            strength=Strength.CONCLUSIVE if garbage and exact else Strength.SUPPORTING,
            place=place,
            data={"waiting": waiting, "type": row.full_name, "objects": row.objects, "reachable": round(reachable)},
        ),
    ]
