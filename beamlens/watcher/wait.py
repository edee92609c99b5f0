"""The tool that ends a look: sleep until the next one, sensors awake."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from beamlens.agent import Tool
from beamlens.findings.investigation import Investigation
from beamlens.findings.tools import Arguments

SHORTEST = 1.0
LONGEST = 3600.0


class Wait(Arguments):
    """End this look and sleep.

    Sensors read the metrics every few seconds meanwhile and wake you early, with the reason, when something is off; so
    wait long when all is quiet (minutes to an hour), and short only while something develops.
    """

    ms: Annotated[int, Field(ge=0)] = Field(description="Milliseconds, 1000 to 3600000; outside of that it is clamped.")
    note: Annotated[str, StringConstraints(max_length=1000)] = Field(
        default="", description="What to remember at the next look; the conversation itself is not kept."
    )


def wait_tool(found: Investigation) -> Tool:
    """The tool ``wait``; its value is the seconds to sleep."""

    def wait(arguments: Wait) -> dict[str, Any]:
        found.note = arguments.note
        return {"seconds": min(LONGEST, max(SHORTEST, arguments.ms / 1000))}

    return Tool("wait", wait, Wait, ends_run=True)
