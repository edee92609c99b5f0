"""`Dispatcher`: how many calls at once, how many in a while, and none where they fail anyway."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from beamlens.llm.client import Completion, LLMClient, Request
from beamlens.llm.deltas import OnDelta, complete
from beamlens.llm.turns import DispatcherState, DispatchLimits, Gate, Report
from beamlens_actors import clock

if TYPE_CHECKING:
    from beamlens_actors import AbortSignal

T = TypeVar("T")


class Dispatcher:
    """Stands before a provider. Calls wait for their turn, in order; an open circuit rejects them at once.

    Usable from any thread; a forked child begins anew, for its parent's calls are not under way in it.
    """

    def __init__(self, name: str, limits: DispatchLimits | None = None, *, report: Report | None = None) -> None:
        """Make one.

        Args:
            name: Whom it stands before; ``provider`` in its events.
            limits: What it keeps to.
            report: Takes its events.
        """
        self.name = name
        self.limits = limits or DispatchLimits()
        self.report = report
        self._gates: dict[int, Gate] = {}

    def run(self, call: Callable[[], T], *, abort: AbortSignal, timeout: float | None = None) -> T:
        """Call when it is its turn, and return what that returns.

        Args:
            call: What to call; must end soon after `abort` fires.
            abort: Ends the waiting, too.
            timeout: Most seconds to wait for the turn.

        Raises:
            LLMError: Of kind ``"rejected"``: it was not called.
            Aborted: While it waited.
        """
        return self._gate().run(call, abort, None if timeout is None else clock.monotonic() + timeout)

    def state(self) -> DispatcherState:
        """What it does at the moment."""
        return self._gate().state()

    def _gate(self) -> Gate:
        # As connections: one a process, and no lock that a thread of the parent may have held.
        return self._gates.get(os.getpid()) or self._gates.setdefault(os.getpid(), Gate(self))


class Dispatched:
    """A client behind a dispatcher. The time that a call waits is part of its timeout."""

    def __init__(self, client: LLMClient, dispatcher: Dispatcher) -> None:
        self.client = client
        self.dispatcher = dispatcher

    def __repr__(self) -> str:
        return f"Dispatched({self.client!r})"

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.client.model

    def complete(self, request: Request, *, abort: AbortSignal, on_delta: OnDelta | None = None) -> Completion:
        """Answer one request; see `LLMClient.complete`."""
        deadline = clock.monotonic() + request.timeout

        def call() -> Completion:
            left = max(0.001, deadline - clock.monotonic())
            return complete(self.client, replace(request, timeout=left), abort=abort, on_delta=on_delta)

        return self.dispatcher.run(call, abort=abort, timeout=request.timeout)

    def close(self) -> None:
        """Close what the client has open."""
        close = getattr(self.client, "close", None)
        if close is not None:
            close()
