"""Who crashes again and again, judged by what supervisors told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beamlens.detect import Reading
from beamlens.domains.sup.recorder import Crashed, Resigned, SupRecorder
from beamlens_actors import clock

_WINDOW = 60.0
_FEWEST = 3
# With a growing wait between restarts a loop becomes a slow one; it is over when it pauses for thrice its pace.
_LONG_WINDOW = 600.0
_FEWEST_LONG = 5
_PAUSES = 3.0
_QUIET = Reading(active=False)


@dataclass(frozen=True, slots=True)
class Loop:
    """A child that crashes again and again.

    Attributes:
        child: Its id.
        supervisor: Name of its supervisor; of several, the latest.
        crashes: Its crashes, newest first.
        window: Seconds back to which these are.
        resigned: The supervisor gave up over it.
        own: Whether it is Beamlens's own.
    """

    child: str
    supervisor: str
    crashes: tuple[Crashed, ...]
    window: float
    resigned: Resigned | None
    own: bool

    @property
    def whose(self) -> str:
        """The child, in words."""
        name = f"worker {self.child!r} of {self.supervisor}"
        return f"Beamlens's own {name}" if self.own else name


def loops(recorder: SupRecorder) -> list[Loop]:
    """Children that crash again and again, or over which a supervisor gave up; the worst first.

    Again and again is three times within a minute, or steadily five times within ten. One and the same child must have
    been started again: of many children with one id each may crash once.
    """
    groups: dict[tuple[str, str], list[Crashed]] = {}
    for crash in recorder.crashes(_LONG_WINDOW):
        groups.setdefault((crash.branch, crash.child), []).append(crash)
    if not groups:
        return []
    again = {(one.branch, one.child) for one in recorder.restarts(_LONG_WINDOW) if one.times > 1}
    given_up = {(one.branch, one.child): one for one in reversed(recorder.resigned(_WINDOW))}
    found = [_loop(held, again=key in again, resigned=given_up.get(key)) for key, held in groups.items()]
    held = [loop for loop in found if loop is not None]
    return sorted(held, key=lambda loop: (loop.own, loop.resigned is None, -len(loop.crashes)))


def _loop(held: list[Crashed], *, again: bool, resigned: Resigned | None) -> Loop | None:
    now, newest = clock.time(), held[0]
    crashes, window = [crash for crash in held if now - crash.at <= _WINDOW], _WINDOW
    repeated = again or sum(crash.starting for crash in crashes) > 1
    fast = repeated and len(crashes) >= _FEWEST
    if not fast and resigned is None:
        pace = (newest.at - held[-1].at) / max(1, len(held) - 1)
        if not again or len(held) < _FEWEST_LONG or now - newest.at > _PAUSES * pace:
            return None
        crashes, window = held, _LONG_WINDOW
    shown = tuple(crashes) or (newest,)
    return Loop(newest.child, newest.supervisor, shown, window, resigned, newest.own)


def reading(found: Sequence[Loop], *, own: bool) -> Reading:
    """What the sensor says of the host's loops, or of Beamlens's own."""
    mine = [loop for loop in found if loop.own is own]
    if not mine:
        return _QUIET
    worst = mine[0]
    newest = worst.crashes[0]
    gave_up = worst.resigned
    times = f"{len(worst.crashes)} times in the last {worst.window:.0f} s"
    parts = [
        f"{worst.whose} crashed {times}, last with {newest.error.type}",
        "" if gave_up is None else f"; {gave_up.supervisor} gave up and ended with all of its children",
        f"; {len(mine) - 1} more crash repeatedly" if len(mine) > 1 else "",
    ]
    data = {"crashes": float(len(worst.crashes)), "loops": float(len(mine))}
    return Reading(active=True, reason="".join(parts), severity="critical" if gave_up else "warning", data=data)
