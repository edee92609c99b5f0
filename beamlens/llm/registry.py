"""The client registry: which model answers, checked at start."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from beamlens.errors import ClientConfigError
from beamlens.llm import providers
from beamlens.llm.anthropic import BASE_VARIABLE, KEY_VARIABLE, AnthropicAPI
from beamlens.llm.client import LLMClient
from beamlens.llm.composites import Fallback, RoundRobin
from beamlens.llm.dispatcher import Dispatched, Dispatcher
from beamlens.llm.offline import OfflineAnalyst
from beamlens.llm.options import (
    ClientSpec,
    FallbackOptions,
    OfflineOptions,
    RegistrySpec,
    RoundRobinOptions,
)
from beamlens.llm.provider import ProviderClient
from beamlens.llm.validation import refused, validate

if TYPE_CHECKING:
    from beamlens.telemetry import Bus

FIELD = "client_registry"
COMPOSITES = ("fallback", "round-robin")
PROVIDERS: tuple[str, ...] = (*providers.NAMES, "offline", *COMPOSITES)

_log = logging.getLogger("beamlens.llm")


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
                ``retry_policy``: a mapping, or ``"DefaultRetry"``, and ``limits``), or an `LLMClient`. ``None``:
                Anthropic's default model if ``ANTHROPIC_API_KEY`` is set, else the offline analyst.
            environ: Where keys are looked up.

        Raises:
            ClientConfigError: The configuration is wrong; names the field and the choices.
        """
        if config is None:
            return cls({"default": _default(environ)}, "default")
        if not isinstance(config, Mapping):
            return cls({"default": _own_client(config)}, "default")
        spec = validate(RegistrySpec, config, FIELD)
        clients = _Builder(spec.clients, environ).build()
        if spec.primary not in clients:
            names = ", ".join(clients)
            raise refused(f"{FIELD}.primary", f"no client is named {spec.primary!r}; the clients are: {names}")
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

    def report_to(self, bus: Bus) -> None:
        """Emit what the clients tell, such as their queues and circuits."""

        def report(name: str, numbers: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
            bus.emit(name, metadata["provider"], numbers, **metadata)

        for client in self._clients.values():
            if isinstance(client, Dispatched):
                client.dispatcher.report = report
            elif isinstance(client, Fallback):
                client.report = report

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


class _Builder:
    """Makes clients, those first that others are made of."""

    def __init__(self, specs: list[ClientSpec], environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._specs: dict[str, tuple[ClientSpec, str]] = {}
        self._made: dict[str, LLMClient] = {}
        for index, spec in enumerate(specs):
            field = f"{FIELD}.clients[{index}]"
            if spec.name in self._specs:
                raise refused(f"{field}.name", f"{spec.name!r} is used twice")
            self._specs[spec.name] = (spec, field)

    def build(self) -> dict[str, LLMClient]:
        """All of them, in the configuration's order."""
        return {name: self._client(name, ()) for name in self._specs}

    def _client(self, name: str, above: tuple[str, ...]) -> LLMClient:
        if name not in self._made:
            self._made[name] = self._make(*self._specs[name], (*above, name))
        return self._made[name]

    def _make(self, spec: ClientSpec, field: str, path: tuple[str, ...]) -> LLMClient:
        if spec.provider == "offline":
            validate(OfflineOptions, spec.options, f"{field}.options")
            return OfflineAnalyst()
        if spec.provider == "fallback":
            options = validate(FallbackOptions, spec.options, f"{field}.options")
            members = self._members(spec, options.strategy, field, path)
            return Fallback(spec.name, dict(zip(options.strategy, members, strict=True)), cooldown=options.cooldown)
        if spec.provider == "round-robin":
            turns = validate(RoundRobinOptions, spec.options, f"{field}.options").strategy
            return RoundRobin(self._members(spec, turns, field, path))
        if spec.provider not in providers.NAMES:
            text = f"there is no provider {spec.provider!r}; the providers are: {', '.join(PROVIDERS)}"
            raise refused(f"{field}.provider", text)
        client = providers.make(spec, field, self._environ)
        return Dispatched(client, Dispatcher(spec.name, spec.limits.limits() if spec.limits else None))

    def _members(self, spec: ClientSpec, names: list[str], field: str, path: tuple[str, ...]) -> list[LLMClient]:
        for own in ("retry_policy", "limits"):
            if getattr(spec, own) is not None:
                raise refused(
                    f"{field}.{own}", f"a {spec.provider!r} has none of its own: give it to the clients it is made of"
                )
        for index in range(len(names)):
            self._check_member(spec, names, index, f"{field}.options.strategy[{index}]", path)
        return [self._client(name, path) for name in names]

    def _check_member(self, spec: ClientSpec, names: list[str], index: int, field: str, path: tuple[str, ...]) -> None:
        name = names[index]
        if name not in self._specs:
            raise refused(field, f"no client is named {name!r}; the clients are: {', '.join(self._specs)}")
        if name in path:
            raise refused(field, f"a client cannot be made of itself: {' -> '.join((*path[path.index(name) :], name))}")
        if self._specs[name][0].provider == "offline":
            raise refused(field, f"{name!r} is the offline analyst, which takes over by itself when all others fail")
        if spec.provider == "fallback" and name in names[:index]:
            raise refused(field, f"{name!r} is named twice")


def _default(environ: Mapping[str, str]) -> LLMClient:
    key = environ.get(KEY_VARIABLE, "").strip()
    if not key:
        return OfflineAnalyst()
    api = AnthropicAPI(api_key=key, base_url=environ.get(BASE_VARIABLE) or None)
    return Dispatched(ProviderClient(api), Dispatcher("anthropic"))


def _own_client(config: object) -> LLMClient:
    if isinstance(config, type):
        text = f"{FIELD} must be a client, not the class {config.__name__}: make one"
    elif hasattr(config, "complete") and hasattr(config, "model"):
        return cast("LLMClient", config)
    else:
        text = f"{FIELD} must be a mapping with 'primary' and 'clients', or a client, not {type(config).__name__}"
    raise ClientConfigError(text, field=FIELD)
