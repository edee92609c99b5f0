"""OpenAI's models, and every server that speaks the Chat Completions API, through OpenAI's SDK."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from beamlens.llm import failures, openai_stream
from beamlens.llm import openai_wire as wire
from beamlens.llm.client import Completion, Request
from beamlens.llm.deltas import OnDelta
from beamlens.llm.inflight import follow
from beamlens.llm.provider import checked_key

if TYPE_CHECKING:
    import openai

# Google refuses a call that is sent back without the signature it came with, unless this stands in its place: for
# calls that another model made. See ai.google.dev/gemini-api/docs/thought-signatures.
_UNSIGNED = {"google": {"thought_signature": "skip_thought_signature_validator"}}
_NEVER_SIGNED = re.compile(r"(models/)?gemini-[12]\b")


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where servers that speak this API differ.

    Attributes:
        platform: What the model's name begins with in alerts and in the price table; empty at OpenAI itself.
        limit: The parameter for the most tokens of an answer: newer models of OpenAI refuse the older name, other
            servers do not know the newer one.
        key_variable: Environment variable of the key; empty where there is none.
        needs_key: Whether a call without a key is refused here already.
        signed_calls: Whether Google's signatures must be sent back with tool calls.
    """

    platform: str = ""
    limit: str = "max_tokens"
    key_variable: str = ""
    needs_key: bool = True
    signed_calls: bool = False


@dataclass(frozen=True, slots=True)
class Chat:
    """How a model is asked.

    Attributes:
        model: Its name, or that of the deployment.
        max_tokens: Most tokens of an answer, its reasoning included; by default the request's.
        temperature: Sampling temperature; by default the provider's.
        reasoning_effort: How long a reasoning model thinks; by default the provider's.
        headers: Further HTTP headers.
    """

    model: str
    max_tokens: int | None = None
    temperature: float | None = None
    reasoning_effort: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Azure:
    """What Azure's address is made of."""

    endpoint: str
    api_version: str


class ChatAPI:
    """The Chat Completions API."""

    def __init__(
        self,
        chat: Chat,
        dialect: Dialect,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        azure: Azure | None = None,
    ) -> None:
        """Describe it.

        Args:
            chat: The model and how it is asked.
            dialect: What is particular to the server.
            api_key: The key; by default from the dialect's environment variable.
            base_url: The address; by default OpenAI's.
            azure: For Azure, instead of an address.
        """
        self._chat = chat
        self._dialect = dialect
        self._given_key = api_key
        self._base_url = base_url
        self._azure = azure
        self._refuses_to_stream = False

    def __repr__(self) -> str:
        return f"ChatAPI({self.model!r})"

    @property
    def model(self) -> str:
        """Name of the model, after the platform's if that is not OpenAI: prices differ."""
        return self._named(self._chat.model)

    def secrets(self) -> Sequence[str]:
        """The key, and the values of the headers that one would hide something in."""
        key = self._key()
        return (*([key] if key else []), *(value for value in self._chat.headers.values() if len(value) >= 8))

    def connect(self) -> openai.OpenAI:
        """Make the SDK's client."""
        import openai

        common: dict[str, Any] = {
            "api_key": self._key() or "none",  # the SDK insists on one
            "max_retries": 0,  # our own: the SDK's cannot be interrupted, and do not know the deadline
            # Whose socket it is, is known only of a new connection; and none idles in the host between calls.
            "default_headers": {**self._withheld(), **self._chat.headers, "Connection": "close"},
            "http_client": openai.DefaultHttpxClient(event_hooks={"request": [follow]}),
        }
        if self._azure is not None:
            return openai.AzureOpenAI(
                azure_endpoint=self._azure.endpoint, api_version=self._azure.api_version, **common
            )
        sdk = openai.OpenAI(base_url=self._base_url, **common)
        if self._dialect.platform:  # OpenAI's identifiers, from the environment, are nobody else's business
            sdk.organization = sdk.project = None
        return sdk

    def ask(self, sdk: Any, request: Request, timeout: float, on_delta: OnDelta | None = None) -> Completion:
        """Make one call; as a stream if its pieces are wanted and the server has not refused that before."""
        parameters = {**self._parameters(request), "timeout": timeout}
        completion = None
        if on_delta is not None and not self._refuses_to_stream:
            completion = self._stream(sdk, parameters, on_delta)
        if completion is None:
            completion = wire.completion(sdk.chat.completions.create(**parameters), self._dialect.platform)
        return replace(completion, model=self._named(completion.model or self._chat.model))

    def describe(self, error: Exception, secrets: Sequence[str]) -> failures.Failure:
        """What went wrong."""
        import openai

        kinds = failures.Errors(
            openai.OpenAIError,
            openai.APIError,
            openai.APIConnectionError,
            openai.APITimeoutError,
            openai.APIStatusError,
        )
        return failures.describe(error, secrets, kinds)

    def _stream(self, sdk: Any, parameters: Mapping[str, Any], on_delta: OnDelta) -> Completion | None:
        try:
            stream = sdk.chat.completions.create(**parameters, stream=True, stream_options={"include_usage": True})
        except Exception as error:
            if not openai_stream.refuses_to_stream(error):
                raise
            self._refuses_to_stream = True
            return None
        with stream:
            return openai_stream.completion(stream, on_delta, self._dialect.platform)

    def _withheld(self) -> dict[str, Any]:
        """Headers meant for OpenAI, which the SDK takes from the environment: another server does not get them."""
        import openai

        if not self._dialect.platform:
            return {}
        lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
        withheld: dict[str, Any] = {line.partition(":")[0].strip(): openai.Omit() for line in lines if ":" in line}
        for name in withheld:
            if name.lower() == "authorization" and self._azure is None:
                withheld[name] = f"Bearer {self._key() or 'none'}"
        return withheld

    def _named(self, model: str) -> str:
        return f"{self._dialect.platform}/{model}" if self._dialect.platform else model

    def _key(self) -> str:
        variable = self._dialect.key_variable
        key = self._given_key or (os.environ.get(variable, "") if variable else "")
        if not key.strip() and not self._dialect.needs_key:
            return ""
        return checked_key(key, f"set the environment variable {variable}" if variable else "give api_key")

    def _parameters(self, request: Request) -> dict[str, Any]:
        own = {"temperature": self._chat.temperature, "reasoning_effort": self._chat.reasoning_effort}
        found = wire.parameters(request, self._dialect.platform)
        if self._dialect.signed_calls and not _NEVER_SIGNED.match(self._chat.model):
            _sign(found["messages"])
        return {
            "model": self._chat.model,
            self._dialect.limit: self._chat.max_tokens or request.max_tokens,
            **{name: value for name, value in own.items() if value is not None},
            **found,
        }


def _sign(messages: list[dict[str, Any]]) -> None:
    """Mark the calls of a turn that came from elsewhere; of parallel ones the first carries the signature."""
    for message in messages:
        calls = message.get("tool_calls") or ()
        if calls and not any("extra_content" in call for call in calls):
            calls[0]["extra_content"] = _UNSIGNED


OPENAI = Dialect(limit="max_completion_tokens", key_variable="OPENAI_API_KEY")
GENERIC = Dialect("openai-generic", needs_key=False)  # never OpenAI's key: who knows whose server it is
AZURE = Dialect("azure-openai", limit="max_completion_tokens", key_variable="AZURE_OPENAI_API_KEY")
OLLAMA = Dialect("ollama", needs_key=False)
OPENROUTER = Dialect("openrouter", key_variable="OPENROUTER_API_KEY")
GOOGLE = Dialect("google-ai", key_variable="GOOGLE_API_KEY", signed_calls=True)
