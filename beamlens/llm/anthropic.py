"""Anthropic's models, through its SDK."""

from __future__ import annotations

import os
import random
import threading
from typing import TYPE_CHECKING, Any

from beamlens.errors import LLMError
from beamlens.llm import anthropic_failures as failures
from beamlens.llm import anthropic_wire as wire
from beamlens.llm.client import Completion, Request
from beamlens.llm.inflight import InFlight, follow
from beamlens_actors import clock

if TYPE_CHECKING:
    import anthropic

    from beamlens_actors import AbortSignal

DEFAULT_MODEL = "claude-haiku-4-5-20251001"
KEY_VARIABLE = "ANTHROPIC_API_KEY"


class AnthropicClient:
    """A model of Anthropic's. The SDK is imported at the first call; each call has a connection of its own.

    Aborting ends a call in flight at once, by shutting its socket down; the end of its timeout does the same, however
    slowly an answer trickles in. Only while the address is looked up or the connection is made does it take until that
    is done, and making it takes no longer than the timeout. Usable from any thread, and in a forked child.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        max_retries: int = 2,
        initial_delay: float = 0.5,
        max_delay: float = 8.0,
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout: float | None = None,
    ) -> None:
        """Describe the client.

        Args:
            model: Name of the model.
            api_key: The key; by default from ``ANTHROPIC_API_KEY``.
            base_url: Another address; by default the SDK's, or ``ANTHROPIC_BASE_URL``.
            max_retries: How often a call is tried again within its timeout: rate limit, overload, server, connection,
                an answer that cannot be read.
            initial_delay: Seconds before the first of these; doubles, with jitter, unless the server says how long.
            max_delay: Most seconds between two, unless the server says how long.
            max_tokens: Most tokens of an answer; by default the request's.
            temperature: Sampling temperature; by default the provider's.
            timeout: Most seconds of a call, retries included; never more than the request's.
        """
        self._model = model
        self._given_key = api_key
        self._base_url = base_url
        self._max_retries = max_retries
        self._initial_delay = initial_delay
        self._max_delay = max_delay
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._timeout = timeout
        # One a process: a forked child must neither use its parent's connections nor wait for a lock that a thread
        # of the parent held. `setdefault` is atomic.
        self._connections: dict[int, _Connection] = {}

    def __repr__(self) -> str:
        return f"AnthropicClient({self._model!r})"

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._model

    def complete(self, request: Request, *, abort: AbortSignal) -> Completion:
        """Answer one request; see `LLMClient.complete`."""
        timeout = request.timeout if self._timeout is None else min(request.timeout, self._timeout)
        deadline = clock.monotonic() + timeout
        attempt = 0
        while True:
            abort.raise_if_aborted()
            outcome = self._attempt(request, deadline, abort)
            if isinstance(outcome, Completion):
                return outcome
            delay = self._delay(attempt) if outcome.after is None else outcome.after
            attempt += 1
            if not outcome.again or attempt > self._max_retries or clock.monotonic() + delay >= deadline:
                raise outcome.error
            abort.wait(delay)

    def close(self) -> None:
        """Close the SDK's client; the next call makes another."""
        connection = self._connections.pop(os.getpid(), None)
        if connection is not None:
            connection.close()

    def _delay(self, attempt: int) -> float:
        growing: float = self._initial_delay * 2.0**attempt
        return random.uniform(0.5, 1.0) * min(self._max_delay, growing)  # noqa: S311

    def _attempt(self, request: Request, deadline: float, abort: AbortSignal) -> Completion | failures.Failure:
        """One call. Failures are returned, not raised: an exception would drag the SDK's, and the key, along."""
        began = clock.monotonic()
        left = max(0.001, deadline - began)
        flight = InFlight()
        take_back = abort.on_abort(flight.cut)
        # The SDK's timeout is one of each read: a server that sends a byte now and then would never exceed it.
        timer = clock.call_later(left, flight.cut)
        key = ""
        try:
            key = self._key()
            with flight:
                response = self._connection(key).messages.create(**self._parameters(request), timeout=left)
            return wire.completion(response, clock.monotonic() - began)
        except Exception as error:  # noqa: BLE001 - whatever the SDK raises is a failed call
            failure = failures.timed_out() if flight.was_cut else failures.describe(error, key)
        finally:
            timer.cancel()
            take_back()
        abort.raise_if_aborted()
        return failure

    def _parameters(self, request: Request) -> dict[str, Any]:
        own: dict[str, Any] = {} if self._temperature is None else {"temperature": self._temperature}
        return {
            "model": self._model,
            "max_tokens": self._max_tokens or request.max_tokens,
            **own,
            **wire.parameters(request),
        }

    def _key(self) -> str:
        key = (self._given_key or os.environ.get(KEY_VARIABLE, "")).strip()
        if not key:
            text = f"there is no key: set the environment variable {KEY_VARIABLE}"
            raise LLMError(text, kind="authentication", retryable=False)
        if not (key.isascii() and key.isprintable() and " " not in key):
            text = "the key has characters that no key has: spaces, line ends, or letters beyond ASCII"
            raise LLMError(text, kind="authentication", retryable=False)
        return key

    def _connection(self, key: str) -> anthropic.Anthropic:
        return self._connections.setdefault(os.getpid(), _Connection()).get(key, self._base_url)


class _Connection:
    """The SDK's client in one process, made when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sdk: anthropic.Anthropic | None = None

    def get(self, key: str, base_url: str | None) -> anthropic.Anthropic:
        with self._lock:
            if self._sdk is None:
                import anthropic

                self._sdk = anthropic.Anthropic(
                    api_key=key,
                    base_url=base_url,
                    max_retries=0,  # our own: the SDK's cannot be interrupted, and do not know the deadline
                    # Whose socket it is, is known only of a new connection; and none idles in the host between calls.
                    default_headers={"Connection": "close"},
                    http_client=anthropic.DefaultHttpxClient(event_hooks={"request": [follow]}),
                )
            return self._sdk

    def close(self) -> None:
        with self._lock:
            sdk, self._sdk = self._sdk, None
        if sdk is not None:
            sdk.close()
