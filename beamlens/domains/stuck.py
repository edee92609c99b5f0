"""What blocks an event loop, and which lock threads wait for: what several domains say about it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.probes import frames, waits
from beamlens.probes.interned import Stack
from beamlens.probes.loops import Stall
from beamlens.probes.source import line_of
from beamlens.probes.waits import LockGroup

WINDOW = 15.0
"""Seconds over which `blocked_share` looks at a loop."""

_MAJORITY = 0.6
_FEWEST = 3
_LONG = 3.0
_BURNS = 0.5


def real(stalls: Iterable[Stall]) -> list[Stall]:
    """Those of the loop's own making: not where its thread only waited for the GIL."""
    return [stall for stall in stalls if not stall.by_others]


def blocked_share(stalls: Iterable[Stall], window: float = WINDOW) -> float:
    """The largest share of the window that one loop was blocked, 0 to 1; 0 for one or two short times.

    Args:
        stalls: Those of the window.
        window: Its length in seconds.
    """
    by_thread: dict[str, list[float]] = {}
    for stall in real(stalls):
        by_thread.setdefault(stall.thread, []).append(min(stall.seconds, window))
    shares = [
        sum(seconds) / window for seconds in by_thread.values() if len(seconds) >= _FEWEST or max(seconds) >= _LONG
    ]
    return min(1.0, max(shares, default=0.0))


def explain_stalls(stalls: Sequence[Stall], seconds: float) -> list[Evidence]:
    """The line at which a loop was blocked most.

    Args:
        stalls: What was seen.
        seconds: Over how much time.
    """
    own = real(stalls)
    if not own:
        text = f"no event loop was blocked in the last {seconds:.0f} s by what it runs itself"
        return [Evidence(text=text, cause=CauseKind.BLOCKED_LOOP, strength=Strength.EXCLUDES)]
    places: dict[Place, float] = {}
    example: dict[Place, Stack] = {}
    for stall in own:
        for stack, wall in stall.stacks:
            if stack.place is not None:
                place = Place(file=stack.place.file, line=max(1, stack.place.line), function=stack.place.function)
                places[place] = places.get(place, 0.0) + wall
                example.setdefault(place, stack)
    total, longest = sum(stall.seconds for stall in own), max(stall.seconds for stall in own)
    seen = (
        f"the event loop of thread {own[-1].thread!r} was blocked for {total:.1f} s of the last {seconds:.0f} s, "
        f"{len(own)} times of {longest:.2f} s at most"
    )
    if not places:
        return [Evidence(text=seen, cause=CauseKind.BLOCKED_LOOP, strength=Strength.SUPPORTING)]
    place = max(places, key=lambda key: places[key])
    share = places[place] / sum(places.values())
    burnt = sum(stall.cpu for stall in own) / max(total, 1e-6)
    how = "burning CPU" if burnt >= _BURNS else _waits_for(example[place])
    return [
        Evidence(
            text=f"{seen}; {share:.0%} of it at {place}, {how}: {line_of(place)}{_called_from(example[place])}",
            cause=CauseKind.BLOCKED_LOOP,
            strength=Strength.CONCLUSIVE if share >= _MAJORITY else Strength.SUPPORTING,
            place=place,
            data={
                "seconds": round(total, 3),
                "times": len(own),
                "longest_s": round(longest, 3),
                "share": round(share, 3),
                "cpu_share": round(burnt, 3),
            },
        )
    ]


def _called_from(stack: Stack) -> str:
    """The outermost line of the program's in the callback: of the coroutine or handler that is to blame."""
    inside = itertools.takewhile(lambda frame: not frame.module.startswith("asyncio."), stack.frames)
    outer = frames.user_frame(reversed(list(inside)))
    if outer is None or outer == stack.place or outer.line < 1:
        return ""
    place = Place(file=outer.file, line=outer.line, function=outer.function)
    return f"; called from {place}: {line_of(place)}"


def _waits_for(stack: Stack) -> str:
    kind = waits.kind_of(stack)
    return "in a call that does not return" if kind == "call" else f"waiting ({kind})"


def explain_locks(groups: Sequence[LockGroup]) -> list[Evidence]:
    """Threads that wait for a lock, and who holds it, the three longest waits."""
    return [_locked(group) for group in groups[:3]]


def _locked(group: LockGroup) -> Evidence:
    many = len(group.threads)
    what = f"the lock {group.lock}" if group.lock else "a lock"
    text = (
        f"{many} thread{'s' if many > 1 else ''} ({', '.join(group.threads[:3])}{', ...' if many > 3 else ''}) "
        f"wait{'' if many > 1 else 's'} for {what} at {group.place}, the first for {group.seconds:.0f} s: "
        f"{line_of(group.place)}; {_held_by(group)}"
    )
    holder = group.holder
    return Evidence(
        text=text,
        cause=CauseKind.THREAD_LOCK,
        strength=Strength.CONCLUSIVE if many > 1 or holder is not None else Strength.SUPPORTING,
        place=group.place,
        data={
            "threads": many,
            "lock": group.lock,
            "seconds": round(group.seconds, 1),
            "holder": None if holder is None else holder.thread,
            "held_at": None if holder is None else f"{holder.place.file}:{holder.place.line}",
        },
    )


def _held_by(group: LockGroup) -> str:
    holder = group.holder
    if holder is None:
        return "no thread is seen that holds it: it was taken and not released, or the source does not tell"
    text = f"thread {holder.thread!r} holds it at {holder.place}: {line_of(holder.place)}"
    if (holder.stands.file, holder.stands.line) != (holder.place.file, holder.place.line):
        text += f"; it stands at {holder.stands}"
    return text + (f", waiting ({holder.kind})" if holder.kind and holder.kind != "call" else "")
