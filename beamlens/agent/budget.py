"""What an instance may spend on models, and the ledger that keeps it."""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from beamlens.agent.account import AccountInMemory, Held, KeepsAccount
from beamlens.errors import BudgetExceeded, ConfigError
from beamlens.llm.client import Request, Text, ToolOutput, Usage
from beamlens.llm.pricing import cost
from beamlens_actors import clock

if TYPE_CHECKING:
    from beamlens_actors import AbortSignal

_LOOK_AGAIN = 0.25
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

    def bounds(self) -> dict[str, float]:
        """Its limits, by name."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: bound for name, bound in given.items() if bound is not None}


class Lease:
    """A call that may be made; must be settled, failed or returned, once."""

    def __init__(self, ledger: Ledger, model: str, estimate: Mapping[str, float], sent: Mapping[str, float]) -> None:
        self.id = secrets.token_hex(8)
        self.estimate = estimate
        self._ledger = ledger
        self._model = model
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
    only the calls in flight stand in the way, their end is waited for. So no limit is passed by more than one call,
    whichever of the processes that share the account make it.
    """

    def __init__(
        self,
        budget: Budget,
        on_exhausted: Exhausted = lambda _limit, _spent, _bound: None,
        account: KeepsAccount | None = None,
    ) -> None:
        """Open a ledger.

        Args:
            budget: The limits.
            on_exhausted: Is called with limit, spent and bound, once each time that one runs out.
            account: Where it is kept; by default in memory.
        """
        self._bounds = budget.bounds()
        self._told: set[str] = set()
        self._on_exhausted = on_exhausted
        self._account = account or AccountInMemory()
        self._changed = threading.Condition()

    @property
    def limits(self) -> tuple[str, ...]:
        """Names of its limits."""
        return tuple(self._bounds)

    def spent(self) -> dict[str, float]:
        """Limit to what was spent within its window."""
        with self._changed:
            account, now = self._account.look(), self._account.now()
            return {limit: account.spent(limit, now) for limit in self._bounds}

    def share(self) -> float:
        """How much of the limit that is nearest to its end is spent: 0 to 1, or a little more."""
        spent = self.spent()
        return max((spent[name] / bound if bound else 1.0 for name, bound in self._bounds.items()), default=0.0)

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
        limit, spent, first = full
        if first:
            self._on_exhausted(limit, spent, self._bounds[limit])
        raise BudgetExceeded(limit, spent, self._bounds[limit])

    def _admit(self, lease: Lease, abort: AbortSignal) -> tuple[str, float, bool] | None:
        with self._changed:
            while True:
                with self._account.change() as account:
                    now = self._account.now()
                    spent = {limit: account.spent(limit, now) for limit in self._bounds}
                    for limit, bound in self._bounds.items():
                        if spent[limit] >= bound:
                            first = limit not in self._told
                            self._told.add(limit)
                            return limit, spent[limit], first
                    if all(spent[limit] + account.in_flight(limit) < bound for limit, bound in self._bounds.items()):
                        self._told.clear()
                        account.book({"calls_per_hour": 1.0}, now)  # certain from now on, whatever becomes of it
                        account.begin(lease.id, Held(self._account.owner(), now, lease.estimate))
                        return None
                abort.raise_if_aborted()
                clock.wait_condition(self._changed, _LOOK_AGAIN if self._account.shared else None)

    def close(self, lease: Lease, spent: Mapping[str, float]) -> None:
        """Book what a call came to; for `Lease`."""
        with self._changed:
            with self._account.change() as account:
                if lease.id not in account.held:  # taken for dead, and booked with what it might come to
                    spent = {
                        limit: spent.get(limit, 0.0) - lease.estimate.get(limit, 0.0)
                        for limit in {*spent, *lease.estimate}
                    }
                account.end(lease.id)
                account.book(spent, self._account.now())
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


def most_input_tokens(request: Request) -> int:
    """Tokens that a request comes to at most: what a budget holds for it until the provider has counted them.

    At two bytes a token, which is about twice what plain English and JSON come to, and more than any text that is not
    all symbols.
    """
    sent = len(request.system.encode()) + sum(
        len(_text(block).encode(errors="replace")) for message in request.messages for block in message.content
    )
    sent += sum(len(str(tool.parameters)) + len(tool.description) for tool in request.tools)
    return sent // 2 + 1


def _lease(ledger: Ledger, model: str, request: Request) -> Lease:
    tokens = most_input_tokens(request)
    most = amounts(model, Usage(input_tokens=tokens, output_tokens=request.max_tokens))
    return Lease(ledger, model, most, amounts(model, Usage(input_tokens=tokens)))


def _text(block: object) -> str:
    if isinstance(block, Text):
        return block.text
    return block.content if isinstance(block, ToolOutput) else str(block)
