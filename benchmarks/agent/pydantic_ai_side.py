"""pydantic-ai's loop on the same script.

Its tools are called in threads where they are plain functions, as Beamlens' are, and in the event loop where they are
coroutines. The model's answers carry their usage, so that it need not be estimated in each call.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import importlib.util
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.agent.measures import Side, Sizes, Values, must

PACKAGE = "pydantic_ai"


def missing() -> str:
    """Why it cannot be measured; empty when it can."""
    if importlib.util.find_spec(PACKAGE) is None:
        return "pydantic-ai-slim is not installed"
    try:
        _parts()
    except Exception as error:  # noqa: BLE001 - a peer that cannot be used is left out, with its reason
        return f"it cannot be imported: {type(error).__name__}: {error}"
    return ""


def version() -> str:
    return importlib.metadata.version("pydantic-ai-slim")


def _parts() -> tuple[Any, Any, Any, Any]:
    return (
        importlib.import_module(PACKAGE).Agent,
        importlib.import_module(f"{PACKAGE}.messages"),
        importlib.import_module(f"{PACKAGE}.models.function").FunctionModel,
        importlib.import_module(f"{PACKAGE}.usage").RequestUsage,
    )


def _agent(turns: int, calls: int, tool: Callable[..., Any]) -> Any:
    agent_class, messages, function_model, usage = _parts()

    def answer(conversation: list[Any], _info: object) -> Any:
        said = sum(isinstance(message, messages.ModelResponse) for message in conversation)
        asked = [messages.ToolCallPart("look", {"number": number}) for number in range(calls)]
        parts = asked if said < turns else [messages.TextPart("done")]
        return messages.ModelResponse(parts=parts, usage=usage(input_tokens=100, output_tokens=10))

    agent = agent_class(function_model(answer), system_prompt="Look.")
    agent.tool_plain(tool, name="look")
    return agent


def _median(turns: int, calls: int, tool: Callable[..., Any], runs: int) -> float:
    agent = _agent(turns, calls, tool)

    async def measure() -> float:
        found = []
        for _ in range(runs + 1):
            began = time.perf_counter()
            result = await agent.run("go")
            found.append(time.perf_counter() - began)
            must(len(result.all_messages()) == 2 * turns + 2, "turns")
        return statistics.median(found[1:])

    return asyncio.run(measure())


def _tool(kind: str, seconds: float = 0.0) -> Callable[..., Any]:
    def look(number: int) -> str:
        """Look."""
        if seconds:
            time.sleep(seconds)
        return f"seen {number}"

    async def look_async(number: int) -> str:
        """Look."""
        if seconds:
            await asyncio.sleep(seconds)
        return f"seen {number}"

    return look if kind == "threads" else look_async


def _loop(kind: str, sizes: Sizes) -> Values:
    return {"loop": _median(sizes.turns, 1, _tool(kind), sizes.runs) / sizes.turns * 1e6}


def _fan_out(kind: str, sizes: Sizes) -> Values:
    # It has no cap of its own, so nothing to compare the default with; but plain functions get 40 threads at most.
    at_once = _median(1, sizes.calls, _tool(kind), sizes.runs) * 1e3
    waiting = _median(1, sizes.calls, _tool(kind, sizes.sleep), sizes.runs) * 1e3
    return {"fan_out_wide": at_once, "fan_out_waiting": waiting}


SIDES: dict[str, Side] = {
    f"pydantic-ai, {named}": {"loop": partial(_loop, kind), "fan-out": partial(_fan_out, kind)}
    for kind, named in (("threads", "def"), ("async", "async def"))
}
