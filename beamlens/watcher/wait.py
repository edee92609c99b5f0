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
        return {"seconds": arguments.ms / 1000}

    return Tool("wait", wait, Wait, ends_run=True)
