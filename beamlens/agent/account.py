"""What was spent lately, by limit, and what calls in flight may come to. Plain data: no clock, no lock, no file."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, Self

from beamlens_actors import clock

HOUR = 3600.0
DAY = 86_400.0
WINDOWS: Mapping[str, float] = {"usd_per_day": DAY, "tokens_per_hour": HOUR, "calls_per_hour": HOUR}
"""Limit to the seconds that it looks back."""

GRAINS = 250
"""What is spent within such a part of a window is one entry: bounded, and given back late, not early."""

Owner = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Held:
    """A call in flight.

    Attributes:
        owner: Who makes it: host, process id, and a token of the ledger there.
        at: When it began.
        estimate: The most that it may come to, by limit.
    """

    owner: Owner
    at: float
    estimate: Mapping[str, float]


class Account:
    """The sums. Times are seconds of any one clock."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        # First and last moment and sum of what was spent close together.
        self._entries: dict[str, deque[list[float]]] = {limit: deque() for limit in WINDOWS}
        self._ended: set[str] = set()

    def spent(self, limit: str, now: float) -> float:
        """What was spent within a limit's window."""
        entries, since = self._entries[limit], now - WINDOWS[limit]
        while entries and entries[0][1] <= since:
            entries.popleft()
        # Summed anew: a running sum of floats would drift, and never come back to 0.
        return max(0.0, math.fsum(entry[2] for entry in entries))

    def in_flight(self, limit: str) -> float:
        """What calls in flight may come to."""
        return math.fsum(call.estimate.get(limit, 0.0) for call in self.held.values())

    def begin(self, call: str, held: Held) -> None:
        """A call is made."""
        self.held[call] = held

    def end(self, call: str) -> None:
        """A call is over, known here or only where this is added to."""
        if self.held.pop(call, None) is None:
            self._ended.add(call)

    def book(self, amounts: Mapping[str, float], now: float) -> None:
        """Add what was spent, by limit."""
        for limit, amount in amounts.items():
            if not amount:
                continue
            entries = self._entries[limit]
            if entries and now - entries[-1][0] < WINDOWS[limit] / GRAINS:
                entries[-1][1] = max(now, entries[-1][1])
                entries[-1][2] += amount
            else:
                entries.append([now, now, amount])

    def add(self, other: Account) -> None:
        """Add what was booked, begun and ended elsewhere, by the same clock."""
        for limit, entries in self._entries.items():
            together = sorted([*entries, *other._entries[limit]])
            entries.clear()
            for first, last, amount in together:
                if entries and first - entries[-1][0] < WINDOWS[limit] / GRAINS:
                    entries[-1][1] = max(last, entries[-1][1])
                    entries[-1][2] += amount
                else:
                    entries.append([first, last, amount])
        for call in other._ended:
            self.held.pop(call, None)
        self.held.update(other.held)

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "spent": {limit: list(entries) for limit, entries in self._entries.items()},
            "in_flight": {
                call: {"owner": list(held.owner), "at": held.at, "estimate": dict(held.estimate)}
                for call, held in self.held.items()
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], now: float) -> Self:
        """Read what `to_json` wrote. What is later than `now` counts as now: the clock was put back.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: It is something else.
        """
        account = cls()
        for limit, entries in account._entries.items():
            for first, last, amount in data["spent"][limit]:
                entries.append([min(_number(first), now), min(_number(last), now), _number(amount)])
        for call, held in data["in_flight"].items():
            host, process, token = held["owner"]
            estimate = {limit: _number(held["estimate"].get(limit, 0.0)) for limit in WINDOWS}
            owner = (str(host), int(process), str(token))
            account.held[str(call)] = Held(owner, min(_number(held["at"]), now), estimate)
        return account


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"not a number: {value!r}")
    return float(value)


class KeepsAccount(Protocol):
    """Where a ledger has its account: in memory, or in a file."""

    @property
    def shared(self) -> bool:
        """Whether others may end calls in it without telling."""
        ...

    def now(self) -> float:
        """The time, by its clock."""
        ...

    def owner(self) -> Owner:
        """Who writes here."""
        ...

    def look(self) -> Account:
        """The account as it is, to be read only."""
        ...

    def change(self) -> AbstractContextManager[Account]:
        """The account, to be changed; kept at the end of the block."""
        ...


class AccountInMemory:
    """Lives as long as the process. Not thread-safe: its ledger is."""

    shared = False

    def __init__(self) -> None:
        self._account = Account()

    def now(self) -> float:
        """Seconds that never go back."""
        return clock.monotonic()

    def owner(self) -> Owner:
        """Nobody else could be meant."""
        return ("", 0, "")

    def look(self) -> Account:
        """See `KeepsAccount`."""
        return self._account

    def change(self) -> AbstractContextManager[Account]:
        """See `KeepsAccount`."""
        return nullcontext(self._account)
