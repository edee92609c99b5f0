"""Asking for a run: the arguments that operators and the Coordinator have in common, and the wait for its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from beamlens.errors import ConfigError
from beamlens.llm.registry import ClientRegistry

if TYPE_CHECKING:
    from beamlens.findings import RunHandle
    from beamlens.llm.client import LLMClient

R = TypeVar("R")

Context: TypeAlias = "Mapping[str, Any] | str | None"


def known(context: object) -> dict[str, Any]:
    """What a caller knows, as a mapping.

    Raises:
        ConfigError: It is neither a mapping nor a text.
    """
    if isinstance(context, str):
        return {"reason": context}
    if context is not None and not isinstance(context, Mapping):
        text = f'context must be a mapping such as {{"reason": "..."}}, or the reason itself, not {context!r}'
        raise ConfigError(text, field="context")
    return {str(key): value for key, value in (context or {}).items()}


@contextmanager
def client_of(handle: RunHandle[R], client_registry: object, client: LLMClient | None) -> Iterator[LLMClient | None]:
    """Who answers in one run; ``None``: who answers in the instance.

    A registry is closed once the run has ended, or at once when the body, which begins it, raises.

    Raises:
        ConfigError: Both are given, or one is not what it should be.
    """
    if client_registry is not None and client is not None:
        raise ConfigError("give client or client_registry, not both", field="client")
    if client is not None:
        if isinstance(client, Mapping):
            raise ConfigError("client must be a client; a mapping is given as client_registry", field="client")
        if isinstance(client, type) or not hasattr(client, "complete"):
            raise ConfigError(f"client must be a client, with complete() and model, not {client!r}", field="client")
    given = client_registry if client is None else client
    if given is None:
        yield None
        return
    registry = ClientRegistry.build(given)
    try:
        yield registry.primary
    except BaseException:
        if client is None:
            registry.close()
        raise
    if client is None:
        handle.add_done_callback(registry.close)


def caller_is_there() -> Callable[[], bool]:
    """Tells whether the thread that calls this now is still there."""
    return threading.current_thread().is_alive


def finished(handle: RunHandle[R], timeout: float | None) -> R:
    """Wait for a run that nobody else holds.

    Raises:
        TimeoutError: Its place in the queue is given up; a run in progress goes on.
    """
    try:
        return handle.result(timeout)
    except TimeoutError:
        handle.withdraw()
        raise
    except BaseException:  # such as Ctrl-C, or a greenlet that is killed: nobody will read it
        handle.cancel()
        raise


async def afinished(handle: RunHandle[R], timeout: float | None) -> R:  # noqa: ASYNC109 - as `finished`
    """`finished` for asyncio."""
    try:
        return await handle.wait(timeout)
    except TimeoutError:
        handle.withdraw()
        raise
