"""`ProviderClient`: calls a provider's API, within a timeout, again where that may help, until aborted."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from beamlens.errors import LLMError
from beamlens.llm.client import Completion, Request
from beamlens.llm.deltas import OnDelta, Told
from beamlens.llm.failures import Failure, timed_out
from beamlens.llm.inflight import InFlight
from beamlens_actors import clock

if TYPE_CHECKING:
    from beamlens_actors import AbortSignal


class API(Protocol):
    """One provider's wire, spoken through its SDK."""

    @property
    def model(self) -> str:
        """Name of the model in alerts, telemetry and the price table."""
        ...

    def secrets(self) -> Sequence[str]:
        """Texts that no error may show: the key.

        Raises:
            LLMError: There is no usable key.
        """
        ...

    def connect(self) -> Any:
        """Import the SDK and make its client. Its requests must be followed, see `inflight.follow`."""
        ...

    def ask(self, sdk: Any, request: Request, timeout: float, on_delta: OnDelta | None = None) -> Completion:
        """Make one HTTP call; whatever it raises is described by `describe`.

        With `on_delta` the answer is streamed, and its pieces are told as they come.
        """
        ...

    def describe(self, error: Exception, secrets: Sequence[str]) -> Failure:
        """What went wrong, without anything secret."""
        ...


@dataclass(frozen=True, slots=True)
class Backoff:
    """How a call is tried again: rate limit, overload, server, connection, an answer that cannot be read.

    Attributes:
        max_retries: How often, within the call's timeout.
        initial_delay: Seconds before the first of these; doubles, with jitter, unless the server says how long.
        max_delay: Most seconds between two, unless the server says how long.
    """

    max_retries: int = 2
    initial_delay: float = 0.5
    max_delay: float = 8.0

    def delay(self, attempt: int) -> float:
        """Seconds to wait after the attempt of this number, from 0."""
        growing: float = self.initial_delay * 2.0**attempt
        return random.uniform(0.5, 1.0) * min(self.max_delay, growing)  # noqa: S311


class ProviderClient:
    """A model of a provider. The SDK is imported at the first call; each call has a connection of its own.

    Aborting ends a call in flight at once, by shutting its socket down; the end of its timeout does the same, however
    slowly an answer trickles in. Only while the address is looked up or the connection is made does it take until that
    is done, and making it takes no longer than the timeout. Usable from any thread, and in a forked child.
    """

    def __init__(self, api: API, *, backoff: Backoff | None = None, timeout: float | None = None) -> None:
        """Describe the client.

        Args:
            api: The provider's wire.
            backoff: How a call is tried again.
            timeout: Most seconds of a call, retries included; never more than the request's.
        """
        self._api = api
        self._backoff = backoff or Backoff()
        self._timeout = timeout
        # One a process: a forked child must neither use its parent's connections nor wait for a lock that a thread
        # of the parent held. `setdefault` is atomic.
        self._connections: dict[int, _Connection] = {}

    def __repr__(self) -> str:
        return f"ProviderClient({self._api!r})"

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._api.model

    def complete(self, request: Request, *, abort: AbortSignal, on_delta: OnDelta | None = None) -> Completion:
        """Answer one request; see `LLMClient.complete`.

        With `on_delta` the answer is streamed. Once a piece of it was told, a failure is the caller's: to try again
        would tell another answer. What `on_delta` raises ends the call, and is raised.
        """
        told = None if on_delta is None else Told(on_delta)
        timeout = request.timeout if self._timeout is None else min(request.timeout, self._timeout)
        deadline = clock.monotonic() + timeout
        attempt = 0
        while True:
            abort.raise_if_aborted()
            outcome = self._attempt(request, deadline, abort, told)
            if isinstance(outcome, Completion):
                return outcome
            delay = self._backoff.delay(attempt) if outcome.after is None else outcome.after
            attempt += 1
            late = clock.monotonic() + delay >= deadline
            spoken = told is not None and told.any
            if spoken or not outcome.again or attempt > self._backoff.max_retries or late:
                raise outcome.error
            abort.wait(delay)

    def close(self) -> None:
        """Close the SDK's client; the next call makes another."""
        connection = self._connections.pop(os.getpid(), None)
        if connection is not None:
            connection.close()

    def _attempt(
        self, request: Request, deadline: float, abort: AbortSignal, on_delta: OnDelta | None
    ) -> Completion | Failure:
        """One call. Failures are returned, not raised: an exception would drag the SDK's, and the key, along."""
        began = clock.monotonic()
        left = max(0.001, deadline - began)
        flight = InFlight()
        take_back = abort.on_abort(flight.cut)
        # The SDK's timeout is one of each read: a server that sends a byte now and then would never exceed it.
        timer = clock.call_later(left, flight.cut)
        secrets: Sequence[str] = ()
        try:
            secrets = self._api.secrets()
            with flight:
                completion = self._api.ask(self._sdk(), request, left, flight.until_cut(on_delta))
            return replace(completion, latency=clock.monotonic() - began)
        except Exception as error:  # noqa: BLE001 - whatever the SDK raises is a failed call
            failure = timed_out() if flight.was_cut else self._failure(error, secrets)
        finally:
            timer.cancel()
            take_back()
        abort.raise_if_aborted()
        if flight.listener_error is not None:  # not the provider's failure
            raise flight.listener_error
        return failure

    def _failure(self, error: Exception, secrets: Sequence[str]) -> Failure:
        if isinstance(error, ImportError):
            text = f"a package is missing: {error}"
            return Failure(LLMError(text, kind="invalid_request", retryable=False))
        return self._api.describe(error, secrets)

    def _sdk(self) -> Any:
        return self._connections.setdefault(os.getpid(), _Connection()).get(self._api)


class _Connection:
    """The SDK's client in one process, made when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sdk: Any = None

    def get(self, api: API) -> Any:
        with self._lock:
            if self._sdk is None:
                self._sdk = api.connect()
            return self._sdk

    def close(self) -> None:
        with self._lock:
            sdk, self._sdk = self._sdk, None
        if sdk is not None:
            sdk.close()


def checked_key(key: str, remedy: str) -> str:
    """The key, stripped.

    Raises:
        LLMError: It is empty, or cannot be one; says what to do, and never shows it.
    """
    key = key.strip()
    if not key:
        raise LLMError(f"there is no key: {remedy}", kind="authentication", retryable=False)
    if not (key.isascii() and key.isprintable() and " " not in key):
        text = "the key has characters that no key has: spaces, line ends, or letters beyond ASCII"
        raise LLMError(text, kind="authentication", retryable=False)
    return key
