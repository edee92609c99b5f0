"""The ten ways in which a tool call fails, each an answer for the model."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from beamlens.agent.content import Unserialisable, render
from beamlens.agent.tool import Tool, ToolError, ToolResult
from beamlens.agent.trust import TrustMetadata
from beamlens_actors import Aborted, ActorCrashed
from beamlens_actors.words import in_words
from beamlens_supervision import TaskEnded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from beamlens.agent.supervised import Supervised
    from beamlens.llm.client import ToolCall

KINDS = (
    "unknown_tool",
    "invalid_tool_arguments",
    "tool_error",
    "tool_exception",
    "tool_caught",
    "unexpected_tool_result",
    "tool_task_crashed",
    "tool_task_start_failed",
    "tool_task_timeout",
    "aborted",
)
"""The values of `ToolResult.error_type`."""

BROKEN = frozenset(KINDS[3:9])
"""Those that are nobody's answer but something that went wrong."""

WORTH_ANOTHER_TRY = frozenset({"tool_exception", "tool_caught", "tool_task_crashed", "tool_task_start_failed"})
"""Those after which an idempotent tool is tried again. A timeout is not: it covers all attempts."""


MOST_LEAVES = 8
"""So many different exceptions of a group are named."""
_MOST_LOOKED_AT = 1000
_MOST_OF_ONE = 300


def failed(call: ToolCall, kind: str, own: str, outside: str = "", source: str = "") -> ToolResult:
    """The one result of a call that failed: our own words and, after them, those of what failed, from outside."""
    trust = untrusted(call.name, source) if outside else TrustMetadata(tool=call.name)
    return ToolResult(call.id, own + render(outside), is_error=True, error_type=kind, trust=trust, own=len(own))


def untrusted(tool: str, source: str) -> TrustMetadata:
    """Words from outside that a tool brought."""
    return TrustMetadata("untrusted", source or tool, tool)


def of_task(call: ToolCall, tool: Tool, task: Supervised[Any]) -> ToolResult:
    """The result of a call whose task has ended without a value."""
    error, name = task.error(), tool.name
    kind, own, said = "tool_exception", f"{name} failed: ", "" if error is None else describe(error)
    if task.raised is error and isinstance(error, ToolError):
        text = str(error)
        kind, own, said = "tool_error", text[: error.own], text[error.own :]
    elif task.raised is error and isinstance(error, Aborted):
        kind, own, said = "aborted", "the run was stopped", ""
    elif task.raised is error and isinstance(error, Unserialisable):
        kind, own, said = "unexpected_tool_result", f"{name} returned something that cannot be shown: {error}", ""
    elif task.raised is error:
        pass
    elif isinstance(error, ActorCrashed):
        kind, said = "tool_caught", describe(error.cause)
    elif isinstance(error, TaskEnded):
        kind, own, said = "tool_task_crashed", f"the task of {name} was ended: {error}", ""
    return failed(call, kind, own, said, tool.source)


def describe(error: BaseException) -> str:
    """An exception in words: of a group those of what it is made of, for its own text names none of them."""
    if not isinstance(error, BaseExceptionGroup):
        return in_words(error)
    # Its leaves and how often each came, in their order.
    leaves: dict[str, int] = {}
    looked_at = list(islice(_leaves(error), _MOST_LOOKED_AT + 1))
    for leaf in looked_at[:_MOST_LOOKED_AT]:
        said = _cut(in_words(leaf))
        leaves[said] = leaves.get(said, 0) + 1
    named = [said if count == 1 else f"{said} ({count} times)" for said, count in islice(leaves.items(), MOST_LEAVES)]
    if len(looked_at) > _MOST_LOOKED_AT:
        named.append("and more")
    elif len(leaves) > MOST_LEAVES:
        named.append(f"and {len(leaves) - MOST_LEAVES} others")
    return f"{type(error).__name__}: {_cut(error.message)}: {'; '.join(named)}"


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    # Not by recursion: a group in a group in a group may be deeper than Python's stack.
    left = [iter(group.exceptions)]
    while left:
        error = next(left[-1], None)
        if error is None:
            left.pop()
        elif isinstance(error, BaseExceptionGroup):
            left.append(iter(error.exceptions))
        else:
            yield error


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_OF_ONE else f"{text[:_MOST_OF_ONE]}..."


def explain(tool: Tool, invalid: ValidationError) -> str:
    """What is wrong with the arguments, and which there are."""
    wrong = "; ".join(
        f"{'.'.join(str(part) for part in error['loc']) or 'arguments'}: {error['msg']}"
        for error in invalid.errors(include_url=False, include_input=False)
    )
    given = ", ".join(
        f"{name}{'' if field.is_required() else ' (optional)'}" for name, field in tool.schema.model_fields.items()
    )
    return f"bad arguments for {tool.name}: {wrong}. Its arguments are: {given or 'none'}"
