"""The tool that ends a look: sleep until the next one, sensors awake."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from beamlens.agent import Tool
from beamlens.findings.investigation import Investigation
from beamlens.findings.tools import Arguments

SHORTEST_MS = 1_000
LONGEST_MS = 28_800_000
"""Eight hours: what the prompt recommends when all is quiet, since sensors end a wait at any time."""

_HALF = 0.5
_MOST_TIMES = 20.0


def _within(ms: int) -> int:
    if ms < SHORTEST_MS:
        raise ValueError(f"at least {SHORTEST_MS} (a second) is needed")
    if ms > LONGEST_MS:
        raise ValueError(f"at most {LONGEST_MS} (8 hours) is possible; wait again after that")
    return ms


class Wait(Arguments):
    """End this look and sleep.

    Sensors read the metrics every few seconds meanwhile and wake you early, with the reason, when something is off; so
    wait long when all is quiet, and short only while something develops.
    """

    ms: Annotated[int, AfterValidator(_within)] = Field(
        description="Milliseconds: 1000 (a second) to 28800000 (8 hours).",
        json_schema_extra={"minimum": SHORTEST_MS, "maximum": LONGEST_MS},
    )
    note: Annotated[str, StringConstraints(max_length=1000)] = Field(
        default="", description="What to remember at the next look, such as what you watch for."
    )


def wait_tool(found: Investigation) -> Tool:
    """The tool ``wait``; its value is the seconds to sleep."""

    def wait(arguments: Wait) -> dict[str, Any]:
        found.remember(arguments.note)
        seconds = arguments.ms / 1000
        budget, quiet = found.services.budget, found.health == "healthy" and not found.sensors
        if budget is None or not quiet or found.model() == found.services.offline.model:
            return {"seconds": seconds}
        longer = stretched(seconds, budget.share())
        return {"seconds": longer} if longer == seconds else {"seconds": longer, "stretched_by_budget": True}

    return Tool("wait", wait, Wait, ends_run=True)


def stretched(seconds: float, share: float) -> float:
    """A wait when all is quiet, made longer the nearer a budget's end is, so that something is left for trouble.

    Args:
        seconds: As long as the model wants to.
        share: How much of the budget is spent, 0 to 1: from a half on it is made longer, at 90 % five times, and twenty
            times at most.

    Returns:
        Seconds, 8 hours at most.
    """
    left = max(0.0, 1.0 - share)
    if left >= _HALF:
        return seconds
    return min(LONGEST_MS / 1000, seconds * min(_MOST_TIMES, _HALF / left if left else _MOST_TIMES))
