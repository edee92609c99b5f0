"""Tools: what a model may call, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from beamlens.agent.trust import TRUSTED, Trust, TrustMetadata
from beamlens.errors import BeamlensError
from beamlens.llm.client import ToolOutput, ToolSpec


class ToolError(BeamlensError):
    """A tool refuses: the model gets the text and may try again. No crash, nothing is logged.

    Attributes:
        own: Length of the tool's own words; what follows is from outside and is fenced in the prompt.
    """

    def __init__(self, text: str, outside: str = "") -> None:
        """Refuse.

        Args:
            text: What is wrong and what to do, in the tool's own words.
            outside: What the watched process says to it, such as an exception's text.
        """
        super().__init__(text + outside)
        self.own = len(text)


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that a model may call.

    Args:
        name: What the model calls it.
        fn: Is called with the validated arguments, an instance of ``schema``; returns text or a JSON value.
            Runs on a task thread. `ToolError` is an answer for the model; any other exception too, as a failure.
            A `ToolResult` says all of it, whose words they are too; its ``call_id`` is filled in. If it has parameters
            of these names it also gets ``abort``, an `AbortSignal` that says when nobody wants the result any more,
            ``on_update``, to call with partial results, and ``call_id``.
        schema: Pydantic model of the arguments; its field descriptions are shown to the model.
        description: What it does and when to use it; defaults to the schema's docstring.
        timeout: Seconds until it is given up, all attempts included. ``None``: the loop's own limit.
        idempotent: Whether calling it twice does no harm: then it is tried again when it fails.
        trust: ``untrusted`` when its result may hold text from outside (logs, exceptions): it is fenced in the prompt.
        ends_run: Whether the run is over once it succeeded.
        source: Where text from outside is from, in a word; defaults to the tool's name.
    """

    name: str
    fn: Callable[[Any], Any]
    schema: type[BaseModel]
    description: str = ""
    timeout: float | None = None
    idempotent: bool = False
    trust: Trust = "trusted"
    ends_run: bool = False
    source: str = ""

    def spec(self) -> ToolSpec:
        """The tool as the model sees it."""
        parameters = _schema(self.schema)
        described = parameters.pop("description", "")
        parameters.pop("title", None)
        return ToolSpec(self.name, self.description or described, parameters)


_schemas: WeakKeyDictionary[type[BaseModel], dict[str, Any]] = WeakKeyDictionary()


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Its JSON Schema, the caller's own; to make one takes longer than a turn of the loop."""
    if (known := _schemas.get(model)) is None:
        known = _schemas[model] = model.model_json_schema()
    return deepcopy(known)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer to one tool call; there is exactly one for each.

    Attributes:
        call_id: The call that it answers.
        content: What the model reads, as it is: the fence is put around it when it is sent, so never twice.
        is_error: Whether the call failed.
        error_type: Why, one of `beamlens.agent.failures.KINDS`.
        trust: Whose words the content is made of.
        details: The value behind the content; not shown to the model.
        own: How many of the first characters are our own words even so, as in ``take failed: <what it said>``.
    """

    call_id: str
    content: str
    is_error: bool = False
    error_type: str = ""
    trust: TrustMetadata = TRUSTED
    details: Any = None
    own: int = 0

    def output(self) -> ToolOutput:
        """The result as a part of the conversation."""
        source = self.trust.source if self.trust.untrusted else ""
        return ToolOutput(self.call_id, self.content, self.is_error, source, self.own)
