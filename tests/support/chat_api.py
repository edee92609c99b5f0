"""A server on loopback that plays the Chat Completions API from a script, for the real SDK to talk to."""

from __future__ import annotations

import json
from typing import Any

from tests.support.messages_api import MessagesAPI, Reply
from tests.support.sse import DONE, chunk, pieces


class ChatServer(MessagesAPI):
    """The server; its replies are made by `answer` and `error`."""

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    @property
    def origin(self) -> str:
        """Its address without a path."""
        return super().base_url


def answer(
    content: str | None = None,
    *calls: dict[str, Any],
    finish: str | None = None,
    refusal: str | None = None,
    model: str = "gpt-4o-mini-2024-07-18",
    **usage: Any,
) -> Reply:
    """A completion of the model."""
    message = {"role": "assistant", "content": content, "refusal": refusal}
    if calls:
        message["tool_calls"] = list(calls)
    return Reply(
        body={
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [
                {"index": 0, "message": message, "finish_reason": finish or ("tool_calls" if calls else "stop")}
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, **usage},
        }
    )


def call(name: str, call_id: str | None = "call_1", raw: str | None = None, /, **arguments: Any) -> dict[str, Any]:
    """A tool call; `raw` instead of its arguments as they are written."""
    written = json.dumps(arguments) if raw is None else raw
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": written}}


def streamed(content: str | None = None, *calls: dict[str, Any], thoughts: str = "", **said: Any) -> Reply:
    """A completion of the model, in pieces; `steps` of the reply may be changed."""
    whole = answer(content, *calls, **said).body
    finish, refusal = whole["choices"][0]["finish_reason"], whole["choices"][0]["message"]["refusal"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += [{"reasoning_content": part} for part in pieces(thoughts)]
    deltas += [{"content": part} for part in pieces(content or "")]
    deltas += [{"refusal": part} for part in pieces(refusal or "")]
    for index, one in enumerate(calls):
        begun = {**one, "index": index, "function": {"name": one["function"]["name"], "arguments": ""}}
        deltas.append({"tool_calls": [begun]})
        for part in pieces(one["function"]["arguments"]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    steps = [in_stream(delta, model=whole["model"]) for delta in deltas]
    steps.append(in_stream({}, finish, model=whole["model"]))
    steps.append(chunk({**_HEAD, "model": whole["model"], "choices": [], "usage": whole["usage"]}))
    return Reply(steps=[*steps, DONE])


_HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18"}


def in_stream(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One chunk of a completion."""
    return chunk({**_HEAD, **more, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def error(status: int, words: str, code: str | None = None, **headers: str) -> Reply:
    """An error as the API words it."""
    body = {"error": {"message": words, "type": "error", "param": None, "code": code}}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})
