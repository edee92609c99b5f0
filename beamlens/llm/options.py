"""What a client registry may say, provider by provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from beamlens.llm.anthropic import DEFAULT_MODEL
from beamlens.llm.provider import Backoff
from beamlens.llm.turns import DispatchLimits

Name = Annotated[str, Field(min_length=1)]
Address = Annotated[str, Field(pattern=r"^https?://[^\s/]")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RetryPolicy(_Strict):
    """How a call is tried again."""

    max_retries: Annotated[int, Field(ge=0, le=10)] = 2
    initial_delay_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    max_delay_ms: Annotated[int, Field(ge=0, le=600_000)] = 8000

    def backoff(self) -> Backoff:
        """It in seconds."""
        return Backoff(self.max_retries, self.initial_delay_ms / 1000, self.max_delay_ms / 1000)


POLICIES: Mapping[str, RetryPolicy] = {
    # As the Elixir package ships it, but doubling.
    "DefaultRetry": RetryPolicy(max_retries=3, initial_delay_ms=200, max_delay_ms=10_000),
}


_LIMITS = DispatchLimits()


class LimitOptions(_Strict):
    """What the dispatcher of a client keeps to; see `DispatchLimits`."""

    concurrency: Annotated[int, Field(ge=1, le=1000)] = _LIMITS.concurrency
    calls: Annotated[int, Field(ge=1, le=1_000_000)] = _LIMITS.calls
    interval: Seconds = _LIMITS.interval
    queue: Annotated[int, Field(ge=0, le=100_000)] = _LIMITS.queue
    failure_threshold: Annotated[int, Field(ge=1)] = _LIMITS.failure_threshold
    recovery: Seconds = _LIMITS.recovery

    def limits(self) -> DispatchLimits:
        """The same."""
        return DispatchLimits(**self.model_dump())


class ClientSpec(_Strict):
    """One client."""

    name: Name
    provider: str
    options: dict[str, Any] = Field(default_factory=dict)
    retry_policy: RetryPolicy | None = None
    limits: LimitOptions | None = None

    @field_validator("retry_policy", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value not in POLICIES:
            raise ValueError(f"no policy is named {value!r}; the named policies are: {', '.join(POLICIES)}")
        return POLICIES[value]


class RegistrySpec(_Strict):
    """The registry: its clients, and which one is asked."""

    primary: str
    clients: Annotated[list[ClientSpec], Field(min_length=1)]


class _Named(_Strict):
    model: Name


class _Model(_Strict):
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    timeout: Seconds | None = None


class _Claude(_Model, _Named):
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    base_url: Address | None = None


class AnthropicOptions(_Claude):
    """Provider ``anthropic``."""

    model: Name = DEFAULT_MODEL
    api_key: Name | None = None


class BedrockOptions(_Claude):
    """Provider ``aws-bedrock``: Claude on Amazon Bedrock."""

    region: Name | None = None
    api_key: Name | None = None
    access_key_id: Name | None = None
    secret_access_key: Name | None = None
    session_token: Name | None = None
    profile: Name | None = None
    machine_identity: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key belong together: give both or neither")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token belongs to access_key_id and secret_access_key: give all three or none")
        if self.api_key is not None and (self.access_key_id or self.profile):
            raise ValueError("give api_key, or access_key_id and secret_access_key, or profile: not several of them")
        return self


def _claude(model: str) -> str:
    if model.startswith("gemini"):
        raise ValueError("this provider serves Claude; for Gemini there is the provider 'google-ai'")
    return model


class VertexOptions(_Claude):
    """Provider ``vertex-ai``: Claude on Google's Vertex AI."""

    model: Annotated[Name, AfterValidator(_claude)]
    location: Name | None = None
    project_id: Name | None = None
    access_token: Name | None = None
    machine_identity: bool = False


class ChatOptions(_Model):
    """What all that speak OpenAI's API have in common."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    reasoning_effort: Name | None = None
    headers: dict[Name, str] = Field(default_factory=dict)
    api_key: Name | None = None


class OpenAIOptions(ChatOptions, _Named):
    """Providers ``openai``, ``ollama``, ``openrouter`` and ``google-ai``."""

    base_url: Address | None = None


class GenericOptions(ChatOptions, _Named):
    """Provider ``openai-generic``: any server that speaks the API."""

    base_url: Address
    api_key_variable: Name | None = None


class AzureOptions(ChatOptions):
    """Provider ``azure-openai``."""

    deployment_id: Name
    resource_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] | None = None
    base_url: Address | None = None
    api_version: Name | None = None


class OfflineOptions(_Strict):
    """Provider ``offline`` has no options."""


class FallbackOptions(_Strict):
    """Provider ``fallback``: the clients to ask, the preferred one first."""

    strategy: Annotated[list[Name], Field(min_length=1)]
    cooldown: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0


class RoundRobinOptions(_Strict):
    """Provider ``round-robin``: the clients to ask in turn."""

    strategy: Annotated[list[Name], Field(min_length=1)]
