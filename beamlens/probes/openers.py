"""Which descriptors are opened and not closed now, who holds them, and where they are opened.

Shared by the domains `runtime` and `ports`, so that they say the same of the same leak.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from beamlens.evidence import CauseKind, Evidence, Strength
from beamlens.probes import descriptors, heap, owners, sites, stacks
from beamlens.probes.heap import Growing
from beamlens.probes.source import line_of
from beamlens_actors import clock

_WATCH = 2.5
_EXPLAINS = 0.5
_HELD_BY_THREADS = 0.4


@dataclass(frozen=True, slots=True)
class Opened:
    """What was opened and not closed in some seconds.

    Attributes:
        evidence: Who holds the new ones and where they are opened.
        threads: Threads that were started in the same time, when these may be why; 0 otherwise.
    """

    evidence: list[Evidence]
    threads: int = 0


@dataclass(frozen=True, slots=True)
class _New:
    """Descriptors that were opened and not closed: number to target, and the time in which they were."""

    targets: Mapping[int, str]
    seconds: float

    def describe(self) -> str:
        what = descriptors.describe(list(self.targets.values()))
        return f"{len(self.targets)} descriptors were opened and not closed in {self.seconds:.1f} s ({what})"


def watch(since: float) -> Opened:
    """Compare the open descriptors before and after 2.5 seconds, and find who holds the new ones.

    Args:
        since: When the growth was noticed, for the evidence.
    """
    began = clock.monotonic()
    before, threads_before = descriptors.targets(), len(stacks.look(1))
    if not before:
        return Opened([])
    growing, _complete = heap.find_growing(_WATCH)
    after, seconds = descriptors.targets(), clock.monotonic() - began
    new_threads = len(stacks.look(1)) - threads_before
    new = {number: target for number, target in after.items() if before.get(number) != target}
    if not new:
        return Opened([_stopped()])
    opened = _New(new, seconds)
    evidence = _held(growing, opened) or _opened_by_nobody_else(opened) or [_unknown(opened, since)]
    if new_threads >= _HELD_BY_THREADS * len(new):
        return Opened([_doubtful(piece, new_threads) for piece in evidence], new_threads)
    return Opened(evidence)


def _doubtful(piece: Evidence, threads: int) -> Evidence:
    """Threads came with the descriptors: each holds one while it waits, so the question is why they wait."""
    text = f"{piece.text}; but {threads} threads were started in the same time, and may hold them"
    return piece.model_copy(update={"strength": Strength.SUPPORTING, "text": text})


def _held(growing: list[Growing], new: _New) -> list[Evidence]:
    for one in growing:
        numbers = {number for item in one.items for number in descriptors.descriptors_of(item)}
        if not numbers & new.targets.keys():
            continue
        # The heap is walked between the listing of the descriptors and the readings of the containers: so by rates.
        share = min(1.0, one.added / one.seconds / (len(new.targets) / new.seconds))
        finding = sites.find(one.holder, stacks.sample(0.5).functions())
        place = finding.opens or finding.place
        text = f"{new.describe()}; {one.holder.path} ({one.type_name}) holds them: "
        text += f"{one.added} items more in {one.seconds:.1f} s"
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
                data={"new": len(new.targets), "held_share": round(share, 2), "holder": one.holder.path},
            )
        ]
    return []


def _opened_by_nobody_else(new: _New) -> list[Evidence]:
    """Nobody holds them as objects: look for the one line of the user's that opens this kind without ``with``."""
    kinds = {descriptors.kind_of(target) for target in new.targets.values()}
    place = owners.opening_line(kinds) if len(kinds) == 1 else None
    if place is None:
        return []
    text = f"{new.describe()}; no container holds them; one line opens this kind: {place}: {line_of(place)}"
    return [Evidence(text=text, cause=CauseKind.DESCRIPTOR_LEAK, strength=Strength.SUPPORTING, place=place)]


def _unknown(new: _New, since: float) -> Evidence:
    text = f"{new.describe()}; who opens them is not known"
    data = {"new": len(new.targets), "since": since}
    return Evidence(text=text, cause=CauseKind.DESCRIPTOR_LEAK, strength=Strength.SUPPORTING, data=data)


def _stopped() -> Evidence:
    text = f"no descriptor was opened and kept in {_WATCH:.1f} s: it does not go on"
    return Evidence(text=text, cause=CauseKind.DESCRIPTOR_LEAK, strength=Strength.EXCLUDES)
