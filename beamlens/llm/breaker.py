"""`CircuitBreaker`: stops calling what keeps failing, and finds out when it is back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "open", "half_open"]
Change = Literal["opened", "half_opened", "closed", "reopened"]
Outcome = Literal["success", "answered", "failure", "unknown"]
"""How a call ended: well; with a refusal, so it is not down; as it does when it is down; or nobody knows."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave to make a call.

    Attributes:
        probe: Whether it is the one that finds out.
    """

    probe: bool = False


_PLAIN, _PROBE = Pass(), Pass(probe=True)


class CircuitBreaker:
    """Closed, it lets calls through; `threshold` failures in a row open it; after `recovery` seconds it is half open.

    Half open, it lets exactly one call through, the probe: that one's success closes it, its failure opens it again.
    A probe of which nobody knows how it ended makes room for the next one. The ends of other calls, which began
    earlier, count only while it is closed. Not thread-safe.
    """

    def __init__(self, threshold: int, recovery: float) -> None:
        """Make a closed one.

        Args:
            threshold: Failures in a row that open it.
            recovery: Seconds until it is half open.
        """
        self._threshold = threshold
        self._recovery = recovery
        self._state: State = "closed"
        self._probing = False
        self._opened_at = 0.0
        self.failures = 0
        self.changes: list[Change] = []
        """What changed, oldest first, until somebody takes it."""

    def state(self, now: float) -> State:
        """Its state; an open one becomes half open by being looked at."""
        if self._state == "open" and self.wait(now) <= 0:
            self._change("half_open", "half_opened")
        return self._state

    def wait(self, now: float) -> float:
        """Seconds until it is half open; 0 unless it is open."""
        return max(0.0, self._opened_at + self._recovery - now) if self._state == "open" else 0.0

    def enter(self, now: float) -> Pass | None:
        """Leave for a call, which `leave` must give back; ``None``: no call is let through."""
        state = self.state(now)
        if state == "closed":
            return _PLAIN
        if state == "open" or self._probing:
            return None
        self._probing = True
        return _PROBE

    def still(self, given: Pass, now: float) -> bool:
        """Whether leave that was given earlier is still worth something."""
        return given.probe or self.state(now) == "closed"

    def leave(self, given: Pass, outcome: Outcome, now: float) -> None:
        """A call has ended."""
        if given.probe:
            self._probing = False
            if outcome == "failure":
                self._open("reopened", now)
            elif outcome != "unknown":
                self.failures = 0
                self._change("closed", "closed")
        elif self._state == "closed":
            self._count(outcome, now)

    def _count(self, outcome: Outcome, now: float) -> None:
        if outcome == "success":
            self.failures = 0
        elif outcome == "failure":
            self.failures += 1
            if self.failures >= self._threshold:
                self._open("opened", now)

    def _open(self, change: Change, now: float) -> None:
        self._opened_at = now
        self._change("open", change)

    def _change(self, state: State, change: Change) -> None:
        self._state = state
        self.changes.append(change)
