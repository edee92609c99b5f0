"""The client registry: which model answers, checked at start."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from beamlens.errors import ClientConfigError
from beamlens.llm.client import LLMClient
from beamlens.llm.offline import OfflineAnalyst
from beamlens.llm.reporting import report_to
from beamlens.llm.variables import BASE_VARIABLE, KEY_VARIABLE

if TYPE_CHECKING:
    from beamlens.telemetry import Bus

FIELD = "client_registry"

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
        # The schemas of all providers are of no use to a start without a configuration, and take long to import.
        from beamlens.llm.configured import configured

        return cls(*configured(config, FIELD, environ))

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
        for client in self._clients.values():
            report_to(client, bus)

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


def _default(environ: Mapping[str, str]) -> LLMClient:
    key = environ.get(KEY_VARIABLE, "").strip()
    if not key:
        return OfflineAnalyst()
    # What calls a provider is of no use without a key.
    from beamlens.llm.anthropic import AnthropicAPI
    from beamlens.llm.dispatcher import Dispatched, Dispatcher
    from beamlens.llm.provider import ProviderClient

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
