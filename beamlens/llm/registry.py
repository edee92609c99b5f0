"""The client registry: which model answers, checked at start."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from beamlens.errors import ClientConfigError
from beamlens.llm.anthropic import DEFAULT_MODEL, KEY_VARIABLE, AnthropicClient
from beamlens.llm.client import LLMClient
from beamlens.llm.offline import OfflineAnalyst

FIELD = "client_registry"
BASE_VARIABLE = "ANTHROPIC_BASE_URL"

_log = logging.getLogger("beamlens.llm")
M = TypeVar("M", bound=BaseModel)


class RetryPolicy(BaseModel):
    """How a call is tried again."""

    model_config = ConfigDict(extra="forbid")

    max_retries: Annotated[int, Field(ge=0, le=10)] = 2
    initial_delay_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    max_delay_ms: Annotated[int, Field(ge=0, le=600_000)] = 8000


POLICIES: Mapping[str, RetryPolicy] = {
    # As the Elixir package ships it, but doubling.
    "DefaultRetry": RetryPolicy(max_retries=3, initial_delay_ms=200, max_delay_ms=10_000),
}


class AnthropicOptions(BaseModel):
    """Options of provider ``anthropic``."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(min_length=1)] = DEFAULT_MODEL
    api_key: Annotated[str, Field(min_length=1)] | None = None
    base_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


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

    @field_validator("retry_policy", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value not in POLICIES:
            raise ValueError(f"no policy is named {value!r}; the named policies are: {', '.join(POLICIES)}")
        return POLICIES[value]


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
                ``retry_policy``: a mapping, or ``"DefaultRetry"``), or an `LLMClient`. ``None``: Anthropic's default
                model if ``ANTHROPIC_API_KEY`` is set, else the offline analyst.
            environ: Where keys are looked up.

        Raises:
            ClientConfigError: The configuration is wrong; names the field and the choices.
        """
        if config is None:
            key = environ.get(KEY_VARIABLE, "").strip()
            default: LLMClient = (
                AnthropicClient(api_key=key, base_url=environ.get(BASE_VARIABLE) or None) if key else OfflineAnalyst()
            )
            return cls({"default": default}, "default")
        if not isinstance(config, Mapping):
            return cls({"default": _own_client(config)}, "default")
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
        for name, client in self._clients.items():
            close = getattr(client, "close", None)
            if close is None:
                continue
            try:
                close()
            except Exception:  # noqa: BLE001 - foreign code: the next one is closed nevertheless
                _log.exception("the client %r could not be closed", name)


def _own_client(config: object) -> LLMClient:
    if isinstance(config, type):
        text = f"{FIELD} must be a client, not the class {config.__name__}: make one"
    elif hasattr(config, "complete") and hasattr(config, "model"):
        return cast("LLMClient", config)
    else:
        text = f"{FIELD} must be a mapping with 'primary' and 'clients', or a client, not {type(config).__name__}"
    raise ClientConfigError(text, field=FIELD)


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
    key = (options.api_key or environ.get(KEY_VARIABLE, "")).strip()
    if not key:
        raise ClientConfigError(
            f"{field}.options.api_key: provider 'anthropic' needs a key; set the environment variable {KEY_VARIABLE} "
            "or give api_key",
            field=f"{field}.options.api_key",
        )
    policy = spec.retry_policy or RetryPolicy()
    return AnthropicClient(
        **options.model_dump(exclude={"api_key", "base_url"}),
        api_key=key,
        base_url=options.base_url or environ.get(BASE_VARIABLE) or None,
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
        fields = ", ".join(_fields_at(model, first["loc"]))
        text = {
            "extra_forbidden": f"there is no such field; the fields are: {fields}",
            "missing": f"is missing; the fields are: {fields}",
            "model_type": "must be a mapping",
            "dict_type": "must be a mapping",
            "list_type": "must be a list",
        }.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise ClientConfigError(f"{path}: {text}", field=path) from None


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The fields beside the one at a path."""
    names = [part for part in path[:-1] if isinstance(part, str)]
    nested: dict[str, type[BaseModel]] = {"clients": ClientSpec, "retry_policy": RetryPolicy}
    return list((nested.get(names[-1], model) if names else model).model_fields)
