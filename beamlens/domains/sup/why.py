"""Why a tree is in trouble: the exception that repeats with its line, the actor that falls behind, who left zombies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from beamlens.domains.sup.mailboxes import Box
from beamlens.domains.sup.processes import ChildProcess
from beamlens.domains.sup.watch import Loop
from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes.failures import is_dependency_failure
from beamlens.probes.frames import user_place, walk
from beamlens_actors import AbortSignal, thread_of
from beamlens_actors.thread_frames import thread_frames

_MAJORITY = 0.6
_LOOKS = 20
_PAUSE = 0.05


def crash_loops(found: Sequence[Loop]) -> list[Evidence]:
    """The exceptions that repeat, of the two worst."""
    return [_loop(one) for one in found[:2]]


def _loop(loop: Loop) -> Evidence:
    kinds = Counter((crash.error.type, crash.place) for crash in loop.crashes)
    (kind, place), count = kinds.most_common(1)[0]
    one = next(crash for crash in loop.crashes if (crash.error.type, crash.place) == (kind, place))
    dependency = is_dependency_failure(one.error)
    share = count / len(loop.crashes)
    starting = sum(crash.starting for crash in loop.crashes)
    given_up = loop.resigned
    text = (
        f"{count} of {len(loop.crashes)} crashes of {loop.whose} in the last {loop.window:.0f} s are {kind} at "
        f"{place or 'an unknown line'}: {one.error.message[:200]}"
        f"{f'; {starting} of them while it was started again' if starting else ''}"
        f"{_gave_up(given_up.supervisor, given_up.max_restarts, given_up.max_seconds) if given_up else ''}"
    )
    data = {"child": loop.child, "supervisor": loop.supervisor, "crashes": len(loop.crashes), "own": loop.own}
    return Evidence(
        text=text,
        cause=CauseKind.FAILING_DEPENDENCY if dependency else CauseKind.CRASH_LOOP,
        strength=Strength.CONCLUSIVE if share >= _MAJORITY and place is not None else Strength.SUPPORTING,
        place=place,
        data=data | {"exception": kind, "share": round(share, 3)},
    )


def _gave_up(supervisor: str, restarts: int, seconds: float) -> str:
    return f"; {supervisor} allows {restarts} restarts in {seconds:g} s and has ended with all of its children"


def mailbox(box: Box | None, waiting: int) -> list[Evidence]:
    """Who falls behind, and the line that it is at; looks for a second.

    Args:
        box: The fullest mailbox.
        waiting: Messages in all mailboxes.
    """
    if box is None:
        return []
    name = getattr(box.ref, "name", None) or str(box.ref)
    place, share, looks = _line_of(thread_of(box.ref))
    whose = f"Beamlens's own actor {name}" if box.own else f"the actor {name}"
    at = f"; {100 * share:.0f} % of {looks} looks found it at {place}" if place is not None else ""
    limit = f" of {box.capacity} that fit" if box.capacity else ""
    text = f"{box.waiting} of {waiting} waiting messages{limit} wait for {whose} ({box.ref.actor_class.__name__}){at}"
    clear = place is not None and share >= _MAJORITY and box.waiting >= _MAJORITY * waiting
    return [
        Evidence(
            text=text,
            cause=CauseKind.QUEUE_OVERLOAD,
            strength=Strength.CONCLUSIVE if clear else Strength.SUPPORTING,
            place=place,
            data={"actor": name, "waiting": box.waiting, "share": round(share, 3), "own": box.own},
        )
    ]


def _line_of(thread: int | None) -> tuple[Place | None, float, int]:
    """The line at which an actor is mostly seen, if it has a thread of its own."""
    if thread is None:
        return None, 0.0, 0
    seen: Counter[Place] = Counter()
    abort = AbortSignal()
    for _ in range(_LOOKS):
        frame = thread_frames().get(thread)
        place = user_place(walk(frame))
        del frame
        if place is not None:
            seen[place] += 1
        abort.wait(_PAUSE)
    if not seen:
        return None, 0.0, _LOOKS
    place, count = seen.most_common(1)[0]
    return place, count / _LOOKS, _LOOKS


def zombies(found: Sequence[ChildProcess], now: float) -> list[Evidence]:
    """Which programs left zombies; who started them, CPython does not tell.

    Args:
        found: Children that have been zombies for long.
        now: On `clock.monotonic`.
    """
    if not found:
        return []
    names = Counter(one.name for one in found)
    oldest = max(one.zombie_for(now) for one in found)
    text = (
        f"{len(found)} ended child processes were never waited for, the oldest for {oldest:.0f} s: "
        f"{', '.join(f'{name} ({count})' for name, count in names.most_common(3))}; each keeps a process id until "
        f"this process calls wait() or poll() on it, or ends"
    )
    data = {"zombies": len(found), "names": dict(names.most_common(3))}
    return [Evidence(text=text, cause=CauseKind.ZOMBIE_PROCESSES, strength=Strength.CONCLUSIVE, data=data)]
