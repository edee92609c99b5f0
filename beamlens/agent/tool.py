"""Tools: what a model may call, and what it gets back."""

from __future__ import annotations

import json
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
        schema: Pydantic model of the arguments; its field descriptions are shown to the model.
        description: What it does and when to use it; defaults to the schema's docstring.
        timeout: Seconds until it is given up. ``None``: the loop's own limit.
        idempotent: Whether calling it twice does no harm.
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
        error_type: Why: ``unknown_tool``, ``bad_arguments``, ``refused``, ``failed``, ``timeout``, ``aborted``.
        trust: Whether the content may hold text from outside.
        details: The value behind the content; not shown to the model.
    """

    call_id: str
    content: str
    is_error: bool = False
    error_type: str = ""
    trust: Trust = "trusted"
    details: Any = None


def render(value: Any, *, most: int = 20_000) -> str:
    """A tool's value as the model reads it: text as it is, anything else as JSON, cut at `most` characters."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    if len(text) > most:
        text = f"{text[:most]}\n[cut: {len(text) - most} of {len(text)} characters are not shown; ask for less]"
    return text


def fence(text: str, source: str) -> str:
    """Mark text from outside: what stands inside is data, whatever it says."""
    harmless = text.replace("</untrusted", "<\\/untrusted")
    return f'<untrusted source="{source}">\n{harmless}\n</untrusted>'
