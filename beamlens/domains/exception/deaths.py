"""Threads that an exception ended: a sensor for them, and what is known about each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from beamlens.detect import Reading
from beamlens.evidence import CauseKind, Evidence, Strength
from beamlens.probes.failures import is_dependency_failure

if TYPE_CHECKING:
    from beamlens.domains.exception.recorder import Recorded

UNCAUGHT = CauseKind.UNCAUGHT_EXCEPTION
_MOST = 3


class Deaths:
    """Active while the last minute saw a thread, or the program, ended by an exception that nobody caught."""

    def update(self, timestamp: float, value: float) -> Reading:  # noqa: ARG002 - the contract
        """See `Detector.update`; the value is their number."""
        if value < 1:
            return Reading(active=False)
        threads = "1 thread was" if value == 1 else f"{value:.0f} threads were"
        return Reading(active=True, reason=f"{threads} ended by an uncaught exception in the last minute")


def explain_deaths(ended: Sequence[Recorded]) -> list[Evidence]:
    """One piece for each of the three latest kinds of death, told apart by type and place.

    Args:
        ended: What ended them, newest first.
    """
    kinds: dict[str, list[Recorded]] = {}
    for one in ended:
        kinds.setdefault(one.fingerprint, []).append(one)
    return [_piece(group) for group in list(kinds.values())[:_MOST]]


def _piece(group: Sequence[Recorded]) -> Evidence:
    newest = group[0]
    names = sorted({one.thread for one in group if one.thread})[:_MOST]
    whose = f" ({', '.join(names)})" if names else ""
    threads = "1 thread" if len(group) == 1 else f"{len(group)} threads"
    where = newest.place or "an unknown line"
    dependency = is_dependency_failure(newest.text)
    return Evidence(
        text=f"{threads}{whose} ended by {newest.text.type} at {where}: {newest.text.message[:200]}",
        cause=CauseKind.FAILING_DEPENDENCY if dependency else UNCAUGHT,
        # That it ended the thread is certain; that the dependency is broken is not, by so few.
        strength=Strength.SUPPORTING if dependency or newest.place is None else Strength.CONCLUSIVE,
        place=newest.place,
        data={"count": len(group)},
    )
