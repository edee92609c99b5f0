"""Why do threads pile up? The line at which most of them wait."""

from __future__ import annotations

from collections import Counter

from beamlens.detect import SensorState
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes import stacks
from beamlens.probes.frames import Frame, is_standard_file
from beamlens.probes.source import line_of
from beamlens.probes.stacks import ThreadStack
from beamlens_actors import AbortSignal

_BETWEEN = 1.0
_FEWEST = 4


def explain(sensor: SensorState) -> list[Evidence]:
    """Group the threads by the user's line at which they stand, twice, a second apart."""
    first = _places(stacks.look())
    AbortSignal().wait(_BETWEEN)
    looked = stacks.look()
    second = _places(looked)
    if not second:
        return []
    place, count = second.most_common(1)[0]
    grown = sensor.data.get("grown", 0.0)
    if count < _FEWEST or count < first.get(place, 0):
        return [_spread(second, len(looked))]
    share = count / max(1, len(looked))
    sample = next(stack for stack in looked if stack.place is not None and _key(stack.place) == place)
    file, line, function = place
    where = Place(file=file, line=line, function=function)
    text = (
        f"{count} of {len(looked)} threads of the program stand at {where}, waiting in {_waits_in(sample)}: "
        f"{line_of(where)}"
    )
    if count > first.get(place, 0):
        text += f"; {count - first.get(place, 0)} more than {_BETWEEN:.0f} s before"
    conclusive = count >= 0.5 * max(grown, 1.0) and share >= 0.4
    return [
        Evidence(
            text=text,
            cause=CauseKind.THREAD_PILE_UP,
            strength=Strength.CONCLUSIVE if conclusive else Strength.SUPPORTING,
            place=where,
            data={"threads": count, "of": len(looked), "example": sample.name},
        )
    ]


def _key(frame: Frame) -> tuple[str, int, str]:
    return frame.file, frame.line, frame.function


def _places(threads: list[ThreadStack]) -> Counter[tuple[str, int, str]]:
    return Counter(_key(stack.place) for stack in threads if stack.place is not None)


def _waits_in(stack: ThreadStack) -> str:
    """What the user's line called, by the names of Python's own frames below it."""
    called = None
    for frame in stack.frames:
        if not is_standard_file(frame.file):
            break
        called = frame
    return "a call of its own" if called is None else f"{called.function} ({called.module})"


def _spread(places: Counter[tuple[str, int, str]], total: int) -> Evidence:
    top = ", ".join(f"{count} at {Place(file=f, line=n, function=q)}" for (f, n, q), count in places.most_common(3))
    text = f"the {total} threads of the program stand at different lines ({top})"
    return Evidence(text=text, cause=CauseKind.THREAD_PILE_UP, strength=Strength.SUPPORTING)
