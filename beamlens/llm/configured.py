"""The clients that a configuration describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from beamlens.llm import providers
from beamlens.llm.composites import Fallback, RoundRobin
from beamlens.llm.dispatcher import Dispatched, Dispatcher
from beamlens.llm.offline import OfflineAnalyst
from beamlens.llm.options import ClientSpec, FallbackOptions, OfflineOptions, RegistrySpec, RoundRobinOptions
from beamlens.llm.validation import refused, validate

if TYPE_CHECKING:
    from beamlens.llm.client import LLMClient

COMPOSITES = ("fallback", "round-robin")
PROVIDERS: tuple[str, ...] = (*providers.NAMES, "offline", *COMPOSITES)


def configured(config: Mapping[Any, Any], field: str, environ: Mapping[str, str]) -> tuple[dict[str, LLMClient], str]:
    """Make the clients of a configuration: all of them by name, and the name of the one that is asked.

    Args:
        config: See `ClientRegistry.build`.
        field: What errors call it.
        environ: Where keys are looked up.

    Raises:
        ClientConfigError: The configuration is wrong; names the field and the choices.
    """
    spec = validate(RegistrySpec, config, field)
    clients = _Builder(spec.clients, field, environ).build()
    if spec.primary not in clients:
        names = ", ".join(clients)
        raise refused(f"{field}.primary", f"no client is named {spec.primary!r}; the clients are: {names}")
    return clients, spec.primary


class _Builder:
    """Makes clients, those first that others are made of."""

    def __init__(self, specs: list[ClientSpec], field: str, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._specs: dict[str, tuple[ClientSpec, str]] = {}
        self._made: dict[str, LLMClient] = {}
        for index, spec in enumerate(specs):
            place = f"{field}.clients[{index}]"
            if spec.name in self._specs:
                raise refused(f"{place}.name", f"{spec.name!r} is used twice")
            self._specs[spec.name] = (spec, place)

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
