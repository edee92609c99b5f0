"""Anthropic's models, through its SDK."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from beamlens.errors import LLMError, LLMErrorKind
from beamlens.llm.client import Completion, Message, Request, Text, ToolCall, ToolOutput, ToolSpec, Usage
from beamlens_actors import clock

if TYPE_CHECKING:
    import anthropic

    from beamlens_actors import AbortSignal

DEFAULT_MODEL = "claude-haiku-4-5-20251001"
KEY_VARIABLE = "ANTHROPIC_API_KEY"

_STATUS_KINDS: Mapping[int, LLMErrorKind] = {
    400: "invalid_request",
    401: "authentication",
    403: "authentication",
    404: "invalid_request",
    408: "timeout",
    409: "server",
    413: "invalid_request",
    422: "invalid_request",
    429: "rate_limit",
    529: "overloaded",
}
_EPHEMERAL = {"type": "ephemeral"}


class AnthropicClient:
    """A model of Anthropic's. The SDK is imported, and the connection made, at the first call.

    A call in flight is not broken off: who aborts it stops waiting, and the call ends by itself within its timeout.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        max_retries: int = 2,
        initial_delay: float = 0.5,
        max_delay: float = 8.0,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> None:
        """Describe the client.

        Args:
            model: Name of the model.
            api_key: The key; by default from ``ANTHROPIC_API_KEY``.
            base_url: Another address; by default the SDK's, or ``ANTHROPIC_BASE_URL``.
            max_retries: How often a call is tried again within its timeout: rate limit, overload, server, connection.
            initial_delay: Seconds before the first of these; doubles, with jitter, unless the server says how long.
            max_delay: Most seconds between two.
            max_tokens: Most tokens of an answer; by default the request's.
            temperature: Sampling temperature; by default the provider's.
        """
        self._model = model
        self._key = api_key
        self._base_url = base_url
        self._max_retries = max_retries
        self._initial_delay = initial_delay
        self._max_delay = max_delay
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._lock = threading.Lock()
        self._sdk: anthropic.Anthropic | None = None
        self._pid = 0

    def __repr__(self) -> str:
        return f"AnthropicClient({self._model!r})"

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._model

    def complete(self, request: Request, *, abort: AbortSignal) -> Completion:
        """Answer one request; see `LLMClient.complete`."""
        deadline = clock.monotonic() + request.timeout
        attempt = 0
        while True:
            abort.raise_if_aborted()
            try:
                return self._call(request, deadline)
            except _Retry as again:
                delay = self._delay(attempt, again.after)
                attempt += 1
                if attempt > self._max_retries or clock.monotonic() + delay >= deadline:
                    raise again.error from again.__cause__
                abort.wait(delay)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            sdk, self._sdk = self._sdk, None
        if sdk is not None and self._pid == os.getpid():
            sdk.close()

    def _delay(self, attempt: int, after: float | None) -> float:
        if after is not None:
            return after
        growing: float = self._initial_delay * 2.0**attempt
        return random.uniform(0.5, 1.0) * min(self._max_delay, growing)  # noqa: S311

    def _client(self) -> anthropic.Anthropic:
        with self._lock:
            if self._sdk is None or self._pid != os.getpid():
                import anthropic

                # Our own retries: the SDK's cannot be interrupted, and do not know the deadline.
                self._sdk = anthropic.Anthropic(api_key=self._key, base_url=self._base_url, max_retries=0)
                self._pid = os.getpid()
            return self._sdk

    def _call(self, request: Request, deadline: float) -> Completion:
        began = clock.monotonic()
        try:
            response = self._client().messages.create(**self._parameters(request), timeout=max(0.001, deadline - began))
            return _completion(response, clock.monotonic() - began)
        except LLMError:
            raise
        except Exception as error:
            raise _translated(error) from error

    def _parameters(self, request: Request) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "model": self._model,
            "max_tokens": self._max_tokens or request.max_tokens,
            # The system prompt and the tools are the same in each turn of a run: cached, they cost a tenth.
            "system": [{"type": "text", "text": request.system, "cache_control": _EPHEMERAL}],
            "messages": [_message(message) for message in request.messages],
        }
        if request.tools:
            parameters["tools"] = [_tool(tool) for tool in request.tools]
        if self._temperature is not None:
            parameters["temperature"] = self._temperature
        return parameters


class _Retry(Exception):  # noqa: N818 - a decision, not an error
    def __init__(self, error: LLMError, after: float | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


def _message(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": [_block(block) for block in message.content]}


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
    return {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}


def _completion(response: Any, latency: float) -> Completion:
    texts, calls = [], []
    for block in response.content or ():
        if block.type == "text":
            texts.append(block.text)
        elif block.type == "tool_use":
            calls.append(ToolCall(block.id, block.name, block.input))
    usage = response.usage
    return Completion(
        text="\n".join(texts),
        tool_calls=tuple(calls),
        usage=Usage(
            usage.input_tokens or 0,
            usage.output_tokens or 0,
            usage.cache_read_input_tokens or 0,
            usage.cache_creation_input_tokens or 0,
        ),
        stop_reason=response.stop_reason or "end_turn",
        model=response.model or "",
        latency=latency,
    )


def _translated(error: Exception) -> Exception:
    """The error of a call as ours; as `_Retry` when trying again makes sense."""
    import anthropic

    if isinstance(error, anthropic.APITimeoutError):
        return LLMError("no answer within the timeout", kind="timeout", retryable=True)
    if isinstance(error, anthropic.APIConnectionError):
        cause = error.__cause__ or error
        return _Retry(LLMError(f"cannot connect: {cause}", kind="connection", retryable=True), None)
    if isinstance(error, anthropic.APIStatusError):
        return _from_status(error)
    if "authentication method" in str(error):
        text = f"there is no key: set the environment variable {KEY_VARIABLE}"
        return LLMError(text, kind="authentication", retryable=False)
    if isinstance(error, anthropic.AnthropicError):
        return LLMError(_first_line(error), kind="invalid_request", retryable=False)
    return LLMError(
        f"the answer cannot be read: {type(error).__name__}: {_first_line(error)}", kind="response", retryable=True
    )


def _from_status(error: anthropic.APIStatusError) -> Exception:
    status = error.status_code
    kind = _STATUS_KINDS.get(status, "server")
    retryable = status in (408, 409, 429) or status >= 500
    ours = LLMError(f"the provider answered {status}: {_detail(error)}", kind=kind, retryable=retryable)
    return _Retry(ours, _retry_after(error)) if retryable else ours


def _detail(error: anthropic.APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        return str(body["error"].get("message", ""))[:300]
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:300]


def _retry_after(error: anthropic.APIStatusError) -> float | None:
    value = error.response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        return None
