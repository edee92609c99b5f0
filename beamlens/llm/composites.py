"""Clients made of clients: `Fallback` and `RoundRobin`."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from beamlens.errors import LLMError
from beamlens.llm.client import Completion, LLMClient, Request
from beamlens.llm.deltas import OnDelta, Told, complete
from beamlens_actors import clock

if TYPE_CHECKING:
    from beamlens.llm.turns import Report
    from beamlens_actors import AbortSignal

_log = logging.getLogger("beamlens.llm")

# The client is at fault, not the request: another one may do.
_OTHERS_MAY = frozenset({"authentication", "rate_limit", "rejected"})


class Fallback:
    """Asks its first client; when that fails in a way that another may not, the next one.

    One that failed comes last for a while, so that not every call waits for it first. What is left of the request's
    timeout is the next one's: give members a timeout of their own where a slow one should be left early.

    One that fails after a piece of its answer was told has the last word of that call: nobody else goes on with it. The
    next call asks another.
    """

    def __init__(
        self,
        name: str,
        members: Mapping[str, LLMClient],
        *,
        cooldown: float = 60.0,
        report: Report | None = None,
    ) -> None:
        """Make one.

        Args:
            name: Its name in events.
            members: The clients by name, the preferred one first.
            cooldown: Seconds for which one that failed comes last; longer if it said so itself.
            report: Takes its events.
        """
        self.name = name
        self.report = report
        self._members = dict(members)
        self._cooldown = cooldown
        # Single assignments of a dict's values need no lock, which a forked child could find held.
        self._until: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Fallback({', '.join(self._members)})"

    @property
    def members(self) -> tuple[LLMClient, ...]:
        """Whom it asks."""
        return tuple(self._members.values())

    @property
    def model(self) -> str:
        """Name of the model that the next call asks first."""
        return self._members[self._order()[0]].model

    def complete(self, request: Request, *, abort: AbortSignal, on_delta: OnDelta | None = None) -> Completion:
        """Answer one request; see `LLMClient.complete`."""
        deadline = clock.monotonic() + request.timeout
        order = self._order()
        told = None if on_delta is None else Told(on_delta)
        for index, name in enumerate(order):
            left = deadline - clock.monotonic()
            try:
                asked = replace(request, timeout=max(0.001, left))
                completion = complete(self._members[name], asked, abort=abort, on_delta=told)
            except LLMError as error:
                if not (error.retryable or error.kind in _OTHERS_MAY):
                    raise
                self._until[name] = clock.monotonic() + self._pause(error)
                spoken = told is not None and told.any
                if spoken or index == len(order) - 1 or clock.monotonic() >= deadline:
                    raise
                self._tell(name, order[index + 1], error)
            else:
                self._until.pop(name, None)
                return completion
        raise AssertionError("a fallback has members")

    def _pause(self, error: LLMError) -> float:
        """Seconds for which the one that failed comes last."""
        said = error.retry_after or 0.0
        # One that was not even called has not failed: its dispatcher knows when it may be called again.
        return said if error.kind == "rejected" else max(self._cooldown, said)

    def _order(self) -> Sequence[str]:
        """In their order those that are well, then those that failed, the one that is back first leading."""
        now = clock.monotonic()
        return sorted(self._members, key=lambda name: max(0.0, self._until.get(name, 0.0) - now))

    def _tell(self, failed: str, following: str, error: LLMError) -> None:
        _log.warning("%s: %s failed (%s), asking %s", self.name, failed, error, following)
        if self.report is not None:
            about = {"provider": self.name, "failed": failed, "next": following, "reason": str(error)}
            self.report("ai.fallback.switched", {}, about)


class RoundRobin:
    """Asks its clients in turn, one a call."""

    def __init__(self, members: Sequence[LLMClient]) -> None:
        """Make one; a client that is named twice has two turns."""
        self._members = tuple(members)
        self._turns = itertools.count()
        self._last = 0

    def __repr__(self) -> str:
        return f"RoundRobin({', '.join(member.model for member in self._members)})"

    @property
    def members(self) -> tuple[LLMClient, ...]:
        """Whom it asks."""
        return self._members

    @property
    def model(self) -> str:
        """Name of the model that was asked last; before the first call, that of the first."""
        return self._members[self._last].model

    def complete(self, request: Request, *, abort: AbortSignal, on_delta: OnDelta | None = None) -> Completion:
        """Answer one request; see `LLMClient.complete`."""
        self._last = next(self._turns) % len(self._members)
        return complete(self._members[self._last], request, abort=abort, on_delta=on_delta)
