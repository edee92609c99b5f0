"""Requests and answers as the Chat Completions API words them, which many servers speak."""

from __future__ import annotations

import itertools
import json
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
from beamlens.llm.failures import kind_of, may_pass, readable

_STOP_REASONS = {"stop": "end_turn", "tool_calls": "tool_use", "function_call": "tool_use", "length": "max_tokens"}
EXTRA = "extra_content"
"""What Google gives with a call and wants to see again."""

_numbers = itertools.count(1)


def parameters(request: Request, platform: str = "") -> dict[str, Any]:
    """The system prompt, the conversation and the tools, as arguments of ``chat.completions.create``.

    What stays the same in each turn of a run comes first: where prompts are cached, that is done without asking.

    Args:
        request: What is asked.
        platform: Whose server it is. What only it gave with a call is sent back to it, and to no other.
    """
    messages: list[dict[str, Any]] = []
    if request.system.strip():
        messages.append({"role": "system", "content": request.system})
    for message in request.messages:
        messages.extend(_assistant(message, platform) if message.role == "assistant" else _user(message))
    found: dict[str, Any] = {"messages": messages}
    if request.tools:
        found["tools"] = [_tool(tool) for tool in request.tools]
    return found


def completion(response: Any, platform: str = "") -> Completion:
    """What the model answered.

    Arguments that are no JSON stay text, so that validation refuses them and the model learns why; so do those of a
    call that was cut off because the answer became too long.

    Raises:
        LLMError: It is no completion, carries an error, or the model refused.
    """
    choices = getattr(response, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = getattr(choice, "message", None)
    _raise_error(getattr(response, "error", None) or getattr(choice, "error", None))
    if message is None:
        kind = getattr(response, "object", None) or type(response).__name__
        text = f"the answer is no completion with a message, but of type {str(kind)[:80]!r}"
        raise LLMError(text, kind="response", retryable=True)
    finish = str(getattr(choice, "finish_reason", None) or "stop")
    if getattr(message, "refusal", None) or finish == "content_filter":
        raise LLMError("the model refused to answer", kind="response", retryable=False)
    calls = _calls(getattr(message, "tool_calls", None) or [], platform)
    stop_reason = _STOP_REASONS.get(finish, finish)
    if stop_reason == "max_tokens" and calls:
        calls[-1] = ToolCall(calls[-1].id, calls[-1].name, INCOMPLETE)
    elif calls and stop_reason == "end_turn":
        stop_reason = "tool_use"  # not every server that speaks this has a word of its own for it
    return Completion(
        text=_text(getattr(message, "content", None)),
        tool_calls=tuple(calls),
        usage=_usage(getattr(response, "usage", None)),
        stop_reason=stop_reason,
        model=str(getattr(response, "model", None) or ""),
    )


def _raise_error(error: object) -> None:
    """Some servers answer 200 with an error in it."""
    if not isinstance(error, dict):
        return
    code = error.get("code")
    status = code if isinstance(code, int) else 500
    text = f"the provider answered {code}: {readable(str(error.get('message')), ())}"
    raise LLMError(text, kind=kind_of(status), retryable=may_pass(status))


def _user(message: Message) -> list[dict[str, Any]]:
    # Results come first: they must follow the calls that they answer.
    results = [
        {"role": "tool", "tool_call_id": block.call_id, "content": _result(block)}
        for block in message.content
        if isinstance(block, ToolOutput)
    ]
    said = _said(message)
    return [*results, {"role": "user", "content": said or "(nothing)"}] if said or not results else results


def _result(block: ToolOutput) -> str:
    """The API has no field that says that a tool failed."""
    return f"Error: {block.content}" if block.is_error else block.content


def _assistant(message: Message, platform: str) -> list[dict[str, Any]]:
    calls = [_sent_call(block, platform) for block in message.content if isinstance(block, ToolCall)]
    said = _said(message)
    if not calls:
        return [{"role": "assistant", "content": said or "(nothing)"}]
    return [{"role": "assistant", "content": said or None, "tool_calls": calls}]


def _said(message: Message) -> str:
    return "\n".join(block.text for block in message.content if isinstance(block, Text) and block.text.strip())


def _sent_call(call: ToolCall, platform: str) -> dict[str, Any]:
    given = call.arguments if isinstance(call.arguments, dict) else {"invalid": call.arguments}
    sent = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(given)}}
    opaque = call.opaque if isinstance(call.opaque, dict) else {}
    return {**sent, EXTRA: opaque[platform]} if platform in opaque else sent


def _tool(tool: ToolSpec) -> dict[str, Any]:
    schema = {"type": "object", "properties": {}, **tool.parameters}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": schema},
    }


def _calls(found: list[Any], platform: str) -> list[ToolCall]:
    calls: list[ToolCall] = []
    for one in found:
        function = getattr(one, "function", None)
        call_id = getattr(one, "id", None)
        # Each result names its call, so each call needs an id of its own; not every server gives one.
        if not isinstance(call_id, str) or not call_id or any(call.id == call_id for call in calls):
            call_id = f"call_beamlens_{next(_numbers)}"
        name, arguments = getattr(function, "name", None), getattr(function, "arguments", None)
        extra = getattr(one, EXTRA, None)
        opaque = {platform: extra} if extra else None
        calls.append(ToolCall(call_id, str(name or ""), _arguments(arguments), opaque))
    return calls


def _arguments(given: object) -> Any:
    if not isinstance(given, str):
        return given
    if not given.strip():
        return {}  # how some say that there are none
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        return given


def _text(content: object) -> str:
    if isinstance(content, list):  # parts, as some servers send them
        parts = [part.get("text") if isinstance(part, dict) else getattr(part, "text", None) for part in content]
        return "\n".join(part for part in parts if isinstance(part, str) and part)
    return content if isinstance(content, str) else ""


def _usage(usage: Any) -> Usage:
    """Tokens: the prompt's include those from the cache; the total may include thoughts that nothing else counts."""
    prompt, completion_tokens = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    details = getattr(usage, "prompt_tokens_details", None)
    read = min(prompt, _count(details, "cached_tokens"))
    written = min(prompt - read, _count(details, "cache_write_tokens"))
    output = max(completion_tokens, _count(usage, "total_tokens") - prompt)
    return Usage(prompt - read - written, output, read, written)


def _count(found: Any, name: str) -> int:
    value = getattr(found, name, None)
    return value if isinstance(value, int) and value > 0 else 0
