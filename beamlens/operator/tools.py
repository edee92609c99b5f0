"""The tools that only an operator has: end the run, and wait inside of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, cast

from pydantic import Field, StringConstraints

from beamlens.agent import Tool
from beamlens.findings.investigation import Investigation
from beamlens.findings.tools import Arguments
from beamlens.operator.sensing import PACE, Senses
from beamlens_actors import AbortSignal, clock

LONGEST = 60.0
"""Seconds of one wait at most."""


class Done(Arguments):
    """End the run: you know enough, or the question is not of this domain."""

    summary: Annotated[str, StringConstraints(max_length=4000)] = Field(
        default="", description="What you found, in a sentence or two. Findings count only if they were fired."
    )


class Wait(Arguments):
    """Wait, then go on: for numbers that change slowly. A sensor that becomes active ends it early."""

    ms: Annotated[int, Field(ge=0)] = Field(description="Milliseconds, 100 to 60000; outside of that it is clamped.")


class Answer(Arguments):
    """Answer the question that you were asked."""

    summary: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)] = Field(
        description="The answer, in a sentence or two."
    )
    findings: list[str] = Field(default_factory=list, description="Facts that you have seen, with numbers and units.")
    concerns: list[str] = Field(default_factory=list, description="What you worry about, and what is not known.")


def run_tools(found: Investigation, senses: Senses, on_done: Callable[[str], object]) -> list[Tool]:
    """``done`` and ``wait``.

    Args:
        found: Whose events they emit.
        senses: What ends a wait early.
        on_done: Is given the summary.
    """

    def done(arguments: Done) -> dict[str, Any]:
        on_done(arguments.summary)
        return {"done": True}

    def wait(arguments: Any, abort: AbortSignal) -> dict[str, Any]:
        seconds = min(LONGEST, max(0.1, arguments.ms / 1000))
        found.emit("wait", {"seconds": seconds})
        return _wait(senses, seconds, abort)

    # Its source is no part of the host's, but sensors have names that a host's own domain gives them.
    waiting: Tool = Tool(
        "wait", cast("Callable[[Any], Any]", wait), Wait, timeout=LONGEST + 10.0, trust="untrusted", source="sensors"
    )
    return [waiting, Tool("done", done, Done, ends_run=True)]


def _wait(senses: Senses, seconds: float, abort: AbortSignal) -> dict[str, Any]:
    before = {state.name for state in senses.active()}
    began = clock.monotonic()
    new: list[str] = []
    while not new and (left := began + seconds - clock.monotonic()) > 0:
        if abort.wait(min(PACE, left)):
            break
        new = [state.name for state in senses.active() if state.name not in before]
    abort.raise_if_aborted()
    return {"waited_ms": round(1000 * (clock.monotonic() - began)), "became_active": new}
