"""A client of one's own: any model that you can call from Python. No key needed; ends by itself, at once.

    python examples/custom_client.py

You will see each request that the client was asked, and what the operator found with it:

    asked by runtime, 10 tools, 1 message
    asked by runtime, 10 tools, 3 messages
    asked by runtime, 10 tools, 5 messages
    [info] The process was looked at. (house-model)
"""

from __future__ import annotations

import itertools
import re

from beamlens import Beamlens, Operator
from beamlens.llm.client import Completion, Request, ToolCall, ToolOutput
from beamlens_actors import AbortSignal

numbers = itertools.count(1)


class HouseModel:
    """Has ``model`` and ``complete``; this is all that Beamlens asks of a client."""

    model = "house-model"

    def complete(self, request: Request, *, abort: AbortSignal) -> Completion:
        abort.raise_if_aborted()
        count = len(request.messages)
        print(f"asked by {request.agent}, {len(request.tools)} tools, {count} message{'s' if count > 1 else ''}")
        # Here you send request.system, request.messages and request.tools to your model, within request.timeout.
        # This one is easily pleased: it takes a snapshot, reports that it looked, and is done.
        last = request.messages[-1].content[-1]
        if not isinstance(last, ToolOutput):
            return self._call("take_snapshot")
        if count > 3:
            return self._call("done")
        # What comes from outside is fenced as untrusted: look for the id in it.
        (snapshot_id,) = re.findall(r'"id": "([0-9a-f]{16})"', last.content)[:1]
        return self._call(
            "fire_alert",
            type="looked",
            severity="info",
            context="Somebody asked how the process is.",
            observation="The process was looked at.",
            snapshot_ids=[snapshot_id],
        )

    def _call(self, tool: str, **arguments: object) -> Completion:
        call = ToolCall(f"call_{next(numbers)}", tool, arguments)
        return Completion(tool_calls=(call,), stop_reason="tool_use", model=self.model)


def main() -> None:
    with Beamlens.start(client_registry=HouseModel()):
        for alert in Operator.run("runtime", {"reason": "how is the process?"}, timeout=60.0):
            print(f"[{alert.severity}] {alert.summary} ({alert.model})")


if __name__ == "__main__":
    main()
