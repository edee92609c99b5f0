"""What an instance may spend on models, and the ledger that keeps it."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from beamlens.errors import BudgetExceeded, ConfigError
from beamlens.llm.client import Request, Text, ToolOutput, Usage
from beamlens.llm.pricing import cost
from beamlens_actors import clock

if TYPE_CHECKING:
    from beamlens_actors import AbortSignal

HOUR = 3600.0
DAY = 86_400.0

_WINDOWS = {"usd_per_day": DAY, "tokens_per_hour": HOUR, "calls_per_hour": HOUR}
_GRAINS = 1000
_DEAREST = "claude-opus-4"

Exhausted = Callable[[str, float, float], object]


@dataclass(frozen=True, slots=True)
class Budget:
    """What all agents of an instance may spend together; ``None`` is no limit.

    Windows are the last 24 hours and the last hour, not the calendar's. A model whose price is not known counts as
    the dearest one in the price table, so that the limit holds.

    Attributes:
        usd_per_day: US dollars.
        tokens_per_hour: Tokens, cached ones included.
        calls_per_hour: Model calls, failed ones included.
    """

    usd_per_day: float | None = None
    tokens_per_hour: int | None = None
    calls_per_hour: int | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if value is not None and (not good or value < 0):
                raise ConfigError(
                    f"budget.{each.name} must be a number of at least 0 or None, not {value!r}",
                    field=f"budget.{each.name}",
                )


class _Line:
    """One limit: what was spent within its window, and what calls in flight may come to."""

    def __init__(self, name: str, bound: float) -> None:
        self.name = name
        self.bound = bound
        self.leases: dict[Lease, float] = {}
        self.told = False
        self._window = _WINDOWS[name]
        self._spent = 0.0
        # First and last moment and sum of what was spent close together: bounded, and given back late, not early.
        self._entries: deque[list[float]] = deque()

    def add(self, amount: float) -> None:
        now = clock.monotonic()
        if self._entries and now - self._entries[-1][0] < self._window / _GRAINS:
            self._entries[-1][1] = now
            self._entries[-1][2] += amount
        else:
            self._entries.append([now, now, amount])

    def in_flight(self) -> float:
        return math.fsum(self.leases.values())

    def spent(self) -> float:
        since = clock.monotonic() - self._window
        while self._entries and self._entries[0][1] <= since:
            self._entries.popleft()
        # Summed anew: a running sum of floats would drift, and never come back to 0.
        return math.fsum(entry[2] for entry in self._entries)


class Lease:
    """A call that may be made; must be settled, failed or returned, once."""

    def __init__(self, ledger: Ledger, model: str, estimate: Mapping[str, float], sent: Mapping[str, float]) -> None:
        self._ledger = ledger
        self._model = model
        self.estimate = estimate
        self._sent = sent

    def settle(self, model: str, usage: Usage) -> None:
        """The call was answered."""
        self._ledger.close(self, amounts(model or self._model, usage))

    def fail(self, *, charged: bool) -> None:
        """It failed; `charged`: the provider may have read it, so what was sent counts."""
        self._ledger.close(self, self._sent if charged else {})

    def return_(self) -> None:
        """It was not made after all."""
        self._ledger.close(self, {"calls_per_hour": -1.0})


class Ledger:
    """Keeps a budget. Thread-safe.

    A call is admitted while what was spent, with what the calls in flight may come to, is below each limit. If
    only the calls in flight stand in the way, their end is waited for. So no limit is passed by more than one call.
    """

    def __init__(self, budget: Budget, on_exhausted: Exhausted = lambda _limit, _spent, _bound: None) -> None:
        """Open a ledger.

        Args:
            budget: The limits.
            on_exhausted: Is called with limit, spent and bound, once each time that one runs out.
        """
        self._lines = [
            _Line(each.name, getattr(budget, each.name))
            for each in fields(budget)
            if getattr(budget, each.name) is not None
        ]
        self._on_exhausted = on_exhausted
        self._changed = threading.Condition()

    @property
    def limits(self) -> tuple[str, ...]:
        """Names of its limits."""
        return tuple(line.name for line in self._lines)

    def spent(self) -> dict[str, float]:
        """Limit to what was spent within its window."""
        with self._changed:
            return {line.name: line.spent() for line in self._lines}

    def reserve(self, model: str, request: Request, abort: AbortSignal) -> Lease:
        """Ask for a call.

        Raises:
            BudgetExceeded: A limit is reached.
            Aborted: The signal fired while calls in flight were waited for.
        """
        lease = _lease(self, model, request)
        take_back = abort.on_abort(self._notify)
        try:
            full = self._admit(lease, abort)
        finally:
            take_back()
        if full is None:
            return lease
        line, spent, first = full
        if first:
            self._on_exhausted(line.name, spent, line.bound)
        raise BudgetExceeded(line.name, spent, line.bound)

    def _admit(self, lease: Lease, abort: AbortSignal) -> tuple[_Line, float, bool] | None:
        with self._changed:
            while True:
                for line in self._lines:
                    spent = line.spent()
                    if spent >= line.bound:
                        first, line.told = not line.told, True
                        return line, spent, first
                if all(line.spent() + line.in_flight() < line.bound for line in self._lines):
                    break
                abort.raise_if_aborted()
                clock.wait_condition(self._changed)
            for line in self._lines:
                line.told = False
                if line.name == "calls_per_hour":
                    line.add(1)  # certain from now on, whatever becomes of it
                else:
                    line.leases[lease] = lease.estimate[line.name]
        return None

    def close(self, lease: Lease, spent: Mapping[str, float]) -> None:
        """Book what a call came to; for `Lease`."""
        with self._changed:
            for line in self._lines:
                line.leases.pop(lease, None)
                amount = spent.get(line.name, 0.0)
                if amount:
                    line.add(amount)
            self._changed.notify_all()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


def amounts(model: str, usage: Usage) -> dict[str, float]:
    """What a call counts for, by limit."""
    return {"usd_per_day": dollars(model, usage), "tokens_per_hour": float(usage.total)}


def dollars(model: str, usage: Usage) -> float:
    """US dollars of a call; at the dearest price where the model's is not known."""
    price = cost(model, usage)
    return (cost(_DEAREST, usage) or 0.0) if price is None else price


def _lease(ledger: Ledger, model: str, request: Request) -> Lease:
    # Two bytes a token is more than any text comes to that is not all symbols.
    sent = len(request.system.encode()) + sum(
        len(_text(block).encode(errors="replace")) for message in request.messages for block in message.content
    )
    sent += sum(len(str(tool.parameters)) + len(tool.description) for tool in request.tools)
    tokens = sent // 2 + 1
    most = amounts(model, Usage(input_tokens=tokens, output_tokens=request.max_tokens))
    return Lease(ledger, model, most, amounts(model, Usage(input_tokens=tokens)))


def _text(block: object) -> str:
    if isinstance(block, Text):
        return block.text
    return block.content if isinstance(block, ToolOutput) else str(block)
