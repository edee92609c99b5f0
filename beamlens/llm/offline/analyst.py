"""`OfflineAnalyst`: answers like a model, from the facts alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from beamlens.llm.client import Completion, Request, ToolCall, ToolOutput
from beamlens.llm.offline import answering, correlating, operating, watching

if TYPE_CHECKING:
    from beamlens_actors import AbortSignal

Step = tuple[str, Mapping[str, Any]]

_numbers = itertools.count(1)
_RULES: Mapping[str, Callable[[Mapping[str, Any], Sequence[str]], Sequence[Step]]] = {
    "watcher": watching.decide,
    "operator": operating.decide,
    "coordinator": correlating.decide,
    "classify": answering.classify,
    "synthesize": answering.synthesize,
}


class OfflineAnalyst:
    """Drives the same loops as a model, through the same tools (design D9).

    It reads only ``request.facts`` and which of its tools have succeeded in this run. It writes no prose of its own
    beyond what the facts say, never pretends to be a model, and says so when it does not know.
    """

    @property
    def model(self) -> str:
        """``"offline"``."""
        return "offline"

    def complete(self, request: Request, *, abort: AbortSignal) -> Completion:
        """Decide the next tool calls.

        Raises:
            Aborted: The signal fired.
        """
        abort.raise_if_aborted()
        succeeded = succeeded_calls(request)
        decide = _RULES.get(request.facts.get("role", ""))
        if decide is None:
            text = "The offline analyst has rules for watchers, operators and the coordinator only."
            return Completion(text=text, model=self.model)
        steps = decide(request.facts, succeeded)
        calls = tuple(ToolCall(f"offline_{next(_numbers)}", name, dict(arguments)) for name, arguments in steps)
        return Completion(tool_calls=calls, stop_reason="tool_use" if calls else "end_turn", model=self.model)


def succeeded_calls(request: Request) -> list[str]:
    """Names of the tools whose calls in this conversation succeeded, in order."""
    calls: dict[str, str] = {}
    done = []
    for message in request.messages:
        for block in message.content:
            if isinstance(block, ToolCall):
                calls[block.id] = block.name
            elif isinstance(block, ToolOutput) and not block.is_error and block.call_id in calls:
                done.append(calls[block.call_id])
    return done
