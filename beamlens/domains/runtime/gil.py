"""Who keeps the GIL? The thread that burns the processor, its function and its line."""

from __future__ import annotations

from collections import Counter

from beamlens.detect import SensorState
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes import process, stacks
from beamlens.probes.frames import Frame
from beamlens.probes.source import line_of

_SECONDS = 2.0
_MOST_OF_IT = 0.6
_ONE_LINE = 0.4


def explain(sensor: SensorState) -> list[Evidence]:
    """Sample the stacks for two seconds and match them with each thread's CPU time."""
    before, total_before = process.thread_cpu(), process.read().cpu_seconds
    samples = stacks.sample(_SECONDS)
    after, total = process.thread_cpu(), process.read().cpu_seconds - total_before
    burnt = {native: after.get(native, 0.0) - before.get(native, 0.0) for native in samples.lines}
    if not burnt or total <= 0 or samples.seconds <= 0:
        return []
    hottest = max(burnt, key=lambda native: burnt[native])
    share = min(1.0, burnt[hottest] / total)
    function, of_samples = _hot_function(samples.lines[hottest])
    place, on_line = _hot_line(samples.lines[hottest], function)
    if share < 0.3 or place is None:
        return [_nobody(burnt, total)]
    text = (
        f"thread {samples.names[hottest]!r} used {burnt[hottest] / samples.seconds:.0%} of a processor, {share:.0%} of "
        f"what the process used; {of_samples:.0%} of its samples are in {function[1]}, {on_line:.0%} at {place}: "
        f"{line_of(place)}"
    )
    conclusive = share >= _MOST_OF_IT and of_samples >= _MOST_OF_IT and on_line >= _ONE_LINE
    return [
        Evidence(
            text=text,
            cause=CauseKind.GIL_HOG,
            strength=Strength.CONCLUSIVE if conclusive else Strength.SUPPORTING,
            place=place,
            data={
                "thread": samples.names[hottest],
                "cpu_share": round(share, 3),
                "function_share": round(of_samples, 3),
                "line_share": round(on_line, 3),
                "sensor": sensor.name,
            },
        )
    ]


def _hot_function(lines: Counter[Frame]) -> tuple[tuple[str, str], float]:
    functions: Counter[tuple[str, str]] = Counter()
    for frame, count in lines.items():
        functions[(frame.file, frame.function.partition(".<locals>.<")[0])] += count
    (function, count), *_ = functions.most_common(1)
    return function, count / lines.total()


def _hot_line(lines: Counter[Frame], function: tuple[str, str]) -> tuple[Place | None, float]:
    """The line of the function that was seen most; a generator expression's line is its function's."""
    seen: Counter[int] = Counter()
    for frame, count in lines.items():
        if (frame.file, frame.function.partition(".<locals>.<")[0]) == function:
            seen[frame.line] += count
    if not seen:
        return None, 0.0
    (line, count), *_ = seen.most_common(1)
    return Place(file=function[0], line=line, function=function[1]), count / seen.total()


def _nobody(burnt: dict[int, float], total: float) -> Evidence:
    text = f"no single thread keeps the processor: the busiest of {len(burnt)} used {max(burnt.values()) / total:.0%}"
    return Evidence(text=text, cause=CauseKind.GIL_HOG, strength=Strength.EXCLUDES)
