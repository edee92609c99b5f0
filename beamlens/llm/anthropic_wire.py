"""Requests and answers as the Messages API words them."""

from __future__ import annotations

from typing import Any

from beamlens.errors import LLMError
from beamlens.llm.client import (
    INCOMPLETE,
    Completion,
    Message,
    Request,
    Text,
    ToolCall,
    ToolOutput,
    ToolSpec,
    Usage,
)

_EPHEMERAL = {"type": "ephemeral"}
COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
"""What is counted of a call, as the API names it."""

_CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded"})


def parameters(request: Request) -> dict[str, Any]:
    """The system prompt, the conversation and the tools, as arguments of ``messages.create``.

    Prompt and tools are the same in each turn of a run: cached, they cost a tenth from the second turn on.
    """
    found: dict[str, Any] = {"messages": [_message(message) for message in request.messages]}
    if request.system.strip():  # the API refuses empty text
        found["system"] = [{"type": "text", "text": request.system, "cache_control": _EPHEMERAL}]
    if request.tools:
        found["tools"] = [_tool(tool) for tool in request.tools]
        found["tools"][-1]["cache_control"] = _EPHEMERAL
    return found


def completion(response: Any) -> Completion:
    """What the model answered.

    A call that was cut off because the answer became too long carries a text instead of its arguments, so that
    validation refuses it and the model learns why; half of its arguments could look like all of them.

    Raises:
        LLMError: It is no message, or the model refused.
    """
    kind, content = getattr(response, "type", type(response).__name__), getattr(response, "content", None)
    if kind != "message" or not isinstance(content, list | None):
        text = f"the answer is no message with content, but of type {kind!r}"
        raise LLMError(text, kind="response", retryable=True)
    stop_reason = str(getattr(response, "stop_reason", None) or "end_turn")
    if stop_reason == "refusal":
        raise LLMError("the model refused to answer", kind="response", retryable=False)
    blocks = content or []
    calls = [_call(block) for block in blocks if getattr(block, "type", None) == "tool_use"]
    if stop_reason in _CUT_OFF and calls and getattr(blocks[-1], "type", None) == "tool_use":
        calls[-1] = ToolCall(calls[-1].id, calls[-1].name, INCOMPLETE)
    return Completion(
        text="\n".join(str(block.text) for block in blocks if getattr(block, "type", None) == "text" and block.text),
        tool_calls=tuple(calls),
        usage=_usage(getattr(response, "usage", None)),
        stop_reason=stop_reason,
        model=str(getattr(response, "model", None) or ""),
    )


def _message(message: Message) -> dict[str, Any]:
    # Results come first, and no text is empty: the API refuses anything else.
    results = [block for block in message.content if isinstance(block, ToolOutput)]
    others = [block for block in message.content if not isinstance(block, ToolOutput)]
    content = [_block(block) for block in (*results, *others) if not (isinstance(block, Text) and _blank(block))]
    return {"role": message.role, "content": content or [{"type": "text", "text": "(nothing)"}]}


def _blank(block: Text) -> bool:
    return not block.text.strip()


def _block(block: Text | ToolCall | ToolOutput) -> dict[str, Any]:
    match block:
        case Text(text=text):
            return {"type": "text", "text": text}
        case ToolCall(id=call_id, name=name, arguments=arguments):
            given = arguments if isinstance(arguments, dict) else {"invalid": arguments}
            return {"type": "tool_use", "id": call_id, "name": name, "input": given}
        case ToolOutput(call_id=call_id, content=content, is_error=is_error):
            return {"type": "tool_result", "tool_use_id": call_id, "content": content, "is_error": is_error}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    schema = {"type": "object", **tool.parameters}
    return {"name": tool.name, "description": tool.description, "input_schema": schema}


def _call(block: Any) -> ToolCall:
    return ToolCall(str(block.id), str(block.name), block.input)


def _usage(usage: Any) -> Usage:
    counts = (getattr(usage, name, None) for name in COUNTS)
    return Usage(*(count if isinstance(count, int) else 0 for count in counts))
