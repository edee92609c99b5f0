"""The client registry: which model answers, checked at start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from beamlens.errors import ClientConfigError
from beamlens.llm.anthropic import DEFAULT_MODEL, KEY_VARIABLE, AnthropicClient
from beamlens.llm.client import LLMClient
from beamlens.llm.offline import OfflineAnalyst

FIELD = "client_registry"

M = TypeVar("M", bound=BaseModel)


class RetryPolicy(BaseModel):
    """How a call is tried again."""

    model_config = ConfigDict(extra="forbid")

    max_retries: Annotated[int, Field(ge=0, le=10)] = 2
    initial_delay_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    max_delay_ms: Annotated[int, Field(ge=0, le=600_000)] = 8000


class AnthropicOptions(BaseModel):
    """Options of provider ``anthropic``."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(min_length=1)] = DEFAULT_MODEL
    api_key: Annotated[str, Field(min_length=1)] | None = None
    base_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None


class OfflineOptions(BaseModel):
    """Provider ``offline`` has no options."""

    model_config = ConfigDict(extra="forbid")


class ClientSpec(BaseModel):
    """One client."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    provider: str
    options: dict[str, Any] = Field(default_factory=dict)
    retry_policy: RetryPolicy | None = None


class RegistrySpec(BaseModel):
    """The registry: its clients, and which one is asked."""

    model_config = ConfigDict(extra="forbid")

    primary: str
    clients: Annotated[list[ClientSpec], Field(min_length=1)]


PROVIDERS: tuple[str, ...] = ("anthropic", "offline")


class ClientRegistry:
    """The clients of an instance."""

    def __init__(self, clients: Mapping[str, LLMClient], primary: str) -> None:
        self._clients = dict(clients)
        self._primary = primary

    @classmethod
    def build(cls, config: object = None, *, environ: Mapping[str, str] = os.environ) -> ClientRegistry:
        """Make the clients of a configuration; none of them is called.

        Args:
            config: A mapping with ``primary`` and ``clients`` (each ``name``, ``provider``, ``options``,
                ``retry_policy``), or an `LLMClient`. ``None``: Anthropic's default model if ``ANTHROPIC_API_KEY`` is
                set, else the offline analyst.
            environ: Where keys are looked up.

        Raises:
            ClientConfigError: The configuration is wrong; names the field and the choices.
        """
        if config is None:
            if environ.get(KEY_VARIABLE, "").strip():
                return cls({"default": AnthropicClient()}, "default")
            return cls({"default": OfflineAnalyst()}, "default")
        if not isinstance(config, Mapping):
            if hasattr(config, "complete") and hasattr(config, "model"):
                return cls({"default": cast("LLMClient", config)}, "default")
            text = f"{FIELD} must be a mapping with 'primary' and 'clients', or a client, not {type(config).__name__}"
            raise ClientConfigError(text, field=FIELD)
        spec = _validate(RegistrySpec, config, FIELD)
        clients: dict[str, LLMClient] = {}
        for index, client in enumerate(spec.clients):
            field = f"{FIELD}.clients[{index}]"
            if client.name in clients:
                raise ClientConfigError(f"{field}.name: {client.name!r} is used twice", field=f"{field}.name")
            clients[client.name] = _make(client, field, environ)
        if spec.primary not in clients:
            names = ", ".join(clients)
            raise ClientConfigError(
                f"{FIELD}.primary: no client is named {spec.primary!r}; the clients are: {names}",
                field=f"{FIELD}.primary",
            )
        return cls(clients, spec.primary)

    @property
    def primary(self) -> LLMClient:
        """The client that is asked."""
        return self._clients[self._primary]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all clients."""
        return tuple(self._clients)

    def client(self, name: str) -> LLMClient:
        """A client by its name.

        Raises:
            ClientConfigError: There is none; lists those that exist.
        """
        if name not in self._clients:
            raise ClientConfigError(f"no client is named {name!r}; the clients are: {', '.join(self._clients)}")
        return self._clients[name]

    def close(self) -> None:
        """Close what the clients have open."""
        for client in self._clients.values():
            close = getattr(client, "close", None)
            if close is not None:
                close()


def _make(spec: ClientSpec, field: str, environ: Mapping[str, str]) -> LLMClient:
    if spec.provider == "offline":
        _validate(OfflineOptions, spec.options, f"{field}.options")
        return OfflineAnalyst()
    if spec.provider != "anthropic":
        raise ClientConfigError(
            f"{field}.provider: there is no provider {spec.provider!r}; the providers are: {', '.join(PROVIDERS)}",
            field=f"{field}.provider",
        )
    options = _validate(AnthropicOptions, spec.options, f"{field}.options")
    if options.api_key is None and not environ.get(KEY_VARIABLE, "").strip():
        raise ClientConfigError(
            f"{field}.options.api_key: provider 'anthropic' needs a key; set the environment variable {KEY_VARIABLE} "
            "or give api_key",
            field=f"{field}.options.api_key",
        )
    policy = spec.retry_policy or RetryPolicy()
    return AnthropicClient(
        **options.model_dump(),
        max_retries=policy.max_retries,
        initial_delay=policy.initial_delay_ms / 1000,
        max_delay=policy.max_delay_ms / 1000,
    )


def _validate(model: type[M], value: object, field: str) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        path = field + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        text = f"{path}: {first['msg']}"
        if first["type"] == "extra_forbidden":
            text = f"{path}: there is no such field; the fields are: {', '.join(_fields_at(model, first['loc']))}"
        raise ClientConfigError(text, field=path) from None


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The fields beside the one at a path."""
    names = [part for part in path[:-1] if isinstance(part, str)]
    nested: dict[str, type[BaseModel]] = {"clients": ClientSpec, "retry_policy": RetryPolicy}
    return list((nested[names[-1]] if names else model).model_fields)
