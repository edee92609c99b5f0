"""Who crashes again and again, judged by what supervisors told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beamlens.detect import Reading
from beamlens.domains.sup.recorder import Crashed, Resigned, SupRecorder

WINDOW = 60.0
_FEWEST = 3
_QUIET = Reading(active=False)


@dataclass(frozen=True, slots=True)
class Loop:
    """A child that crashes again and again.

    Attributes:
        child: Its id.
        supervisor: Name of its supervisor; of several, the latest.
        crashes: Its crashes of the last minute, newest first.
        resigned: The supervisor gave up over it.
        own: Whether it is Beamlens's own.
    """

    child: str
    supervisor: str
    crashes: tuple[Crashed, ...]
    resigned: Resigned | None
    own: bool

    @property
    def whose(self) -> str:
        """The child, in words."""
        name = f"worker {self.child!r} of {self.supervisor}"
        return f"Beamlens's own {name}" if self.own else name


def loops(recorder: SupRecorder) -> list[Loop]:
    """Children that crashed three times within a minute, or over which a supervisor gave up; the worst first.

    By id and owner, not by supervisor: one that gave up is started again under another name.
    """
    groups: dict[tuple[str, bool], list[Crashed]] = {}
    for crash in recorder.crashes(WINDOW):
        groups.setdefault((crash.child, crash.own), []).append(crash)
    given_up = {(one.child, one.own): one for one in reversed(recorder.resigned(WINDOW))}
    found = [
        Loop(child, held[0].supervisor, tuple(held), given_up.get((child, own)), own)
        for (child, own), held in groups.items()
        if len(held) >= _FEWEST or (child, own) in given_up
    ]
    return sorted(found, key=lambda loop: (loop.own, loop.resigned is None, -len(loop.crashes)))


def reading(found: Sequence[Loop], *, own: bool) -> Reading:
    """What the sensor says of the host's loops, or of Beamlens's own."""
    mine = [loop for loop in found if loop.own is own]
    if not mine:
        return _QUIET
    worst = mine[0]
    newest = worst.crashes[0]
    gave_up = worst.resigned
    parts = [
        f"{worst.whose} crashed {len(worst.crashes)} times in the last {WINDOW:.0f} s, last with {newest.error.type}",
        "" if gave_up is None else f"; {gave_up.supervisor} gave up and ended with all of its children",
        f"; {len(mine) - 1} more crash repeatedly" if len(mine) > 1 else "",
    ]
    data = {"crashes": float(len(worst.crashes)), "loops": float(len(mine))}
    return Reading(active=True, reason="".join(parts), severity="critical" if gave_up else "warning", data=data)
