"""Tools: what a model may call, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from beamlens.errors import BeamlensError
from beamlens.llm.client import ToolSpec

Trust = Literal["trusted", "untrusted"]


class ToolError(BeamlensError):
    """A tool refuses: the model gets the text and may try again. No crash, nothing is logged."""


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that a model may call.

    Args:
        name: What the model calls it.
        fn: Is called with the validated arguments, an instance of ``schema``; returns text or a JSON value.
            Runs on a task thread. `ToolError` is an answer for the model; any other exception too, as a failure.
            If it has parameters of these names it also gets ``abort``, an `AbortSignal` that says when nobody wants
            the result any more, and ``on_update``, to call with partial results.
        schema: Pydantic model of the arguments; its field descriptions are shown to the model.
        description: What it does and when to use it; defaults to the schema's docstring.
        timeout: Seconds until it is given up, all attempts included. ``None``: the loop's own limit.
        idempotent: Whether calling it twice does no harm: then it is tried again when it fails.
        trust: ``untrusted`` when its result may hold text from outside (logs, exceptions): it is fenced in the prompt.
        ends_run: Whether the run is over once it succeeded.
    """

    name: str
    fn: Callable[[Any], Any]
    schema: type[BaseModel]
    description: str = ""
    timeout: float | None = None
    idempotent: bool = False
    trust: Trust = "trusted"
    ends_run: bool = False

    def spec(self) -> ToolSpec:
        """The tool as the model sees it."""
        parameters = self.schema.model_json_schema()
        described = parameters.pop("description", "")
        parameters.pop("title", None)
        return ToolSpec(self.name, self.description or described, parameters)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer to one tool call; there is exactly one for each.

    Attributes:
        call_id: The call that it answers.
        content: What the model reads.
        is_error: Whether the call failed.
        error_type: Why, one of `beamlens.agent.failures.KINDS`.
        trust: Whether the content may hold text from outside.
        details: The value behind the content; not shown to the model.
    """

    call_id: str
    content: str
    is_error: bool = False
    error_type: str = ""
    trust: Trust = "trusted"
    details: Any = None


def fence(text: str, source: str) -> str:
    """Mark text from outside: what stands inside is data, whatever it says."""
    harmless = text.replace("</untrusted", "<\\/untrusted")
    return f'<untrusted source="{source}">\n{harmless}\n</untrusted>'
