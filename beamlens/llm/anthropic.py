"""Claude at Anthropic, through its SDK."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from beamlens.llm import anthropic_stream, failures
from beamlens.llm import anthropic_wire as wire
from beamlens.llm.client import Completion, Request
from beamlens.llm.deltas import OnDelta
from beamlens.llm.inflight import follow
from beamlens.llm.provider import checked_key
from beamlens.llm.variables import KEY_VARIABLE

if TYPE_CHECKING:
    import anthropic

DEFAULT_MODEL = "claude-haiku-4-5-20251001"


class Sampling:
    """What a call of the Messages API says besides the conversation."""

    def __init__(self, model: str, max_tokens: int | None = None, temperature: float | None = None) -> None:
        """Describe it.

        Args:
            model: Name of the model, as the platform calls it.
            max_tokens: Most tokens of an answer; by default the request's.
            temperature: Sampling temperature; by default the provider's.
        """
        self.model = model
        self._max_tokens = max_tokens
        self._temperature = temperature

    def ask(self, sdk: Any, request: Request, timeout: float, on_delta: OnDelta | None = None) -> Completion:
        """Make the call, which is the same on every platform; as a stream if its pieces are wanted."""
        parameters: dict[str, Any] = {
            "model": self.model,
            "max_tokens": self._max_tokens or request.max_tokens,
            "timeout": timeout,
            **wire.parameters(request),
        }
        if self._temperature is not None:  # not every version of the SDK has an argument for it
            parameters["extra_body"] = {"temperature": self._temperature}
        if on_delta is None:
            return wire.completion(sdk.messages.create(**parameters))
        with sdk.messages.create(**parameters, stream=True) as stream:
            return anthropic_stream.completion(stream, on_delta)


def transport() -> dict[str, Any]:
    """What every SDK client gets, whose requests can then be followed and cut."""
    import anthropic

    return {
        "max_retries": 0,  # our own: the SDK's cannot be interrupted, and do not know the deadline
        # Whose socket it is, is known only of a new connection; and none idles in the host between calls.
        "default_headers": {"Connection": "close"},
        "http_client": anthropic.DefaultHttpxClient(event_hooks={"request": [follow]}),
    }


def describe(error: Exception, secrets: Sequence[str]) -> failures.Failure:
    """A failure of Anthropic's SDK as ours."""
    import anthropic

    kinds = failures.Errors(
        anthropic.AnthropicError,
        anthropic.APIError,
        anthropic.APIConnectionError,
        anthropic.APITimeoutError,
        anthropic.APIStatusError,
    )
    return failures.describe(error, secrets, kinds)


class AnthropicAPI:
    """The Messages API at Anthropic."""

    def __init__(
        self, sampling: Sampling | None = None, *, api_key: str | None = None, base_url: str | None = None
    ) -> None:
        """Describe it.

        Args:
            sampling: The model and how it is asked; by default `DEFAULT_MODEL`.
            api_key: The key; by default from ``ANTHROPIC_API_KEY``.
            base_url: Another address; by default the SDK's, or ``ANTHROPIC_BASE_URL``.
        """
        self._sampling = sampling or Sampling(DEFAULT_MODEL)
        self._given_key = api_key
        self._base_url = base_url

    def __repr__(self) -> str:
        return f"AnthropicAPI({self.model!r})"

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._sampling.model

    def secrets(self) -> Sequence[str]:
        """The key."""
        return (self._key(),)

    def connect(self) -> anthropic.Anthropic:
        """Make the SDK's client."""
        import anthropic

        return anthropic.Anthropic(api_key=self._key(), base_url=self._base_url, **transport())

    def ask(self, sdk: Any, request: Request, timeout: float, on_delta: OnDelta | None = None) -> Completion:
        """Make one call."""
        return self._sampling.ask(sdk, request, timeout, on_delta)

    def describe(self, error: Exception, secrets: Sequence[str]) -> failures.Failure:
        """What went wrong."""
        return describe(error, secrets)

    def _key(self) -> str:
        key = self._given_key or os.environ.get(KEY_VARIABLE, "")
        return checked_key(key, f"set the environment variable {KEY_VARIABLE}")
