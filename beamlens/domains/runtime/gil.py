"""Who keeps the GIL? The thread that burns the processor, its function and its line; or the collector, in any one."""

from __future__ import annotations

import re
import time
from collections import Counter

from beamlens.detect import SensorState
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes import stacks
from beamlens.probes.frames import Frame
from beamlens.probes.gc_pauses import pauses
from beamlens.probes.source import line_of
from beamlens_actors import AbortSignal

_FIND = 0.6
_SECONDS = 2.4
_MOST_OF_IT = 0.6
_ONE_LINE = 0.5
_RECENT = 15.0
_COVERED = 0.8
_SLEEPS = re.compile(r"\bsleep\(")


def explain(sensor: SensorState) -> list[Evidence]:
    """Find the thread that burns the processor, then the line that it burns it in; 3 seconds."""
    if sensor.metric != "gil_stall_ms":
        return _hog(sensor)
    pauses.start()
    try:
        hog = _hog(sensor)  # collections are timed meanwhile
        return _collections(sensor) or hog
    finally:
        pauses.stop()


def _collections(sensor: SensorState) -> list[Evidence]:
    """Stalls that are runs of the collector, in whatever thread they fall."""
    longest = max(pauses.recent(_RECENT), key=lambda pause: pause.lasted, default=None)
    if longest is None or longest.lasted * 1e3 < _COVERED * sensor.value:
        return []
    text = (
        f"a collection of generation {longest.generation} stopped all threads for {longest.lasted * 1e3:.0f} ms: it is "
        f"the garbage collector that keeps the GIL, in whatever thread it runs"
    )
    data = {"longest_ms": round(longest.lasted * 1e3, 1), "generation": longest.generation}
    return [
        Evidence(text=text, cause=CauseKind.LONG_GC, strength=Strength.SUPPORTING, data=data),
        Evidence(text="the stalls are collections", cause=CauseKind.GIL_HOG, strength=Strength.EXCLUDES),
    ]


def _hog(sensor: SensorState) -> list[Evidence]:
    thread = _hottest_thread()
    if thread is None:
        return [_nobody()]
    name, native, share = thread
    burnt = stacks.sample_burning(native, _SECONDS)
    lines = _without_sleep(burnt.lines)
    if not lines or burnt.total <= 0:
        return [_nobody()]
    function = _hot_function(lines)
    place, in_line, in_function = _hot_line(lines, function)
    of_all = in_function / burnt.total
    text = (
        f"thread {name!r} used {share:.0%} of the process's CPU time, {burnt.total / _SECONDS:.0%} of a processor; "
        f"{of_all:.0%} of it in {function[1]}, {in_line / in_function:.0%} of that at {place}: {line_of(place)}"
    )
    # Who burns less than the others wait does not make them wait: he may be starved with the GIL in his hands.
    amount = burnt.total / _SECONDS >= sensor.value / 100 if sensor.metric == "gil_wait_pct" else True
    conclusive = amount and share >= _MOST_OF_IT and of_all >= _MOST_OF_IT and in_line / in_function >= _ONE_LINE
    return [
        Evidence(
            text=text,
            cause=CauseKind.GIL_HOG,
            strength=Strength.CONCLUSIVE if conclusive else Strength.SUPPORTING,
            place=place,
            data={
                "thread": name,
                "cpu_share": round(share, 3),
                "function_share": round(of_all, 3),
                "line_share": round(in_line / in_function, 3),
                "sensor": sensor.name,
            },
        )
    ]


def _hottest_thread() -> tuple[str, int, float] | None:
    """Name, native id and share of the process's CPU time of the busiest thread, if one has a third of it."""
    threads = {stack.native_id: stack.name for stack in stacks.look(4) if stack.native_id is not None}
    before = {native: stacks.thread_cpu_seconds(native) for native in threads}
    total = time.process_time()
    AbortSignal().wait(_FIND)
    total = time.process_time() - total
    burnt = {
        native: now - was
        for native, was in before.items()
        if was is not None and (now := stacks.thread_cpu_seconds(native)) is not None
    }
    if not burnt or total <= 0:
        return None
    native = max(burnt, key=lambda key: burnt[key])
    share = min(1.0, burnt[native] / total)
    return (threads[native], native, share) if share >= 0.33 else None


def _without_sleep(lines: Counter[Frame]) -> Counter[Frame]:
    """Who works in short bursts is seen where it sleeps in between: what was burnt before is not that line's."""
    return Counter(
        {
            frame: spent
            for frame, spent in lines.items()
            if frame.line < 1 or not _SLEEPS.search(line_of(Place(file=frame.file, line=frame.line)))
        }
    )


def _function_of(frame: Frame) -> tuple[str, str]:
    """File and function; a generator expression or lambda belongs to the function around it."""
    return frame.file, frame.function.partition(".<locals>.<")[0]


def _hot_function(lines: Counter[Frame]) -> tuple[str, str]:
    seconds: dict[tuple[str, str], float] = {}
    for frame, spent in lines.items():
        seconds[_function_of(frame)] = seconds.get(_function_of(frame), 0.0) + spent
    return max(seconds, key=lambda key: seconds[key])


def _hot_line(lines: Counter[Frame], function: tuple[str, str]) -> tuple[Place, float, float]:
    """The line of the function with most seconds, its seconds, and the function's."""
    seconds: dict[int, float] = {}
    for frame, spent in lines.items():
        if _function_of(frame) == function:
            seconds[frame.line] = seconds.get(frame.line, 0.0) + spent
    line = max(seconds, key=lambda number: seconds[number])
    return Place(file=function[0], line=line, function=function[1]), seconds[line], sum(seconds.values())


def _nobody() -> Evidence:
    text = "no single thread of the program keeps the processor busy"
    return Evidence(text=text, cause=CauseKind.GIL_HOG, strength=Strength.EXCLUDES)
