"""The collector's pauses of the last minutes, by generation."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from beamlens.probes.gc_tap import Collection

GENERATIONS = (0, 1, 2)
KEPT_SECONDS = 300.0
LONG_MS = 100.0
_NOTABLE_MS = 10.0
_MOST_PAUSES = 2000
_MOST_LONG = 200


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause.

    Attributes:
        at: When it was read, within a second of its end: seconds on a monotonic clock.
        time: The same, seconds since the epoch.
        ms: How long the collector worked; see `Collection`.
        generation: 0 to 2.
        collected: Objects freed.
    """

    at: float
    time: float
    ms: float
    generation: int
    collected: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What the collector did between two readings.

    Attributes:
        at: The later reading.
        span: Seconds between them.
        seconds: Spent in the collector, by the clock; collections that were not timed count as the mean of the others.
        runs: Collections by generation, exact.
        collected: Objects freed, exact.
        timed: How many collections were timed.
    """

    at: float
    span: float
    seconds: float
    runs: tuple[int, int, int]
    collected: int
    timed: int


@dataclass(slots=True)
class Pauses:
    """Bounded: 2000 pauses a generation, 200 notable ones, five minutes of tallies."""

    notable: deque[Pause] = field(default_factory=lambda: deque(maxlen=_MOST_LONG))
    last: dict[int, float] = field(default_factory=dict)
    _pauses: tuple[deque[Pause], ...] = field(
        default_factory=lambda: tuple(deque(maxlen=_MOST_PAUSES) for _ in GENERATIONS)
    )
    _tallies: deque[Tally] = field(default_factory=lambda: deque(maxlen=int(KEPT_SECONDS) * 2))

    def take(
        self,
        found: Sequence[Collection],
        runs: tuple[int, int, int],
        collected: int,
        *,
        now: float,
        wall: float,
        span: float,
    ) -> None:
        """Take what happened since the last reading.

        Args:
            found: The collections that were timed.
            runs: Collections by generation, as the interpreter counts them.
            collected: Objects freed, as the interpreter counts them.
            now: Monotonic seconds.
            wall: Seconds since the epoch.
            span: Seconds since the last reading.
        """
        seconds = 0.0
        for generation in GENERATIONS:
            timed = [one for one in found if one.generation == generation]
            if timed or runs[generation]:
                self.last[generation] = now
            # By the clock: whatever starves the process stretches the rest of its work alike, so the share stays.
            spent = sum(one.lasted for one in timed)
            lost = max(0, runs[generation] - len(timed))
            seconds += spent + (lost * spent / len(timed) if timed else 0.0)
            for one in timed:
                pause = Pause(now, wall, one.seconds * 1e3, generation, one.collected)
                self._pauses[generation].append(pause)
                if pause.ms >= _NOTABLE_MS:
                    self.notable.append(pause)
        self._tallies.append(Tally(now, span, seconds, runs, collected, len(found)))

    def tallies(self, now: float, seconds: float) -> list[Tally]:
        """The readings of the last seconds."""
        return [tally for tally in self._tallies.copy() if now - seconds < tally.at <= now]

    def share_pct(self, now: float, seconds: float) -> float | None:
        """Share of time in the collector, in percent; ``None`` before anything was read."""
        tallies = self.tallies(now, seconds)
        span = sum(tally.span for tally in tallies)
        return min(100.0, 100 * sum(tally.seconds for tally in tallies) / span) if span > 0 else None

    def of(self, generation: int, now: float, seconds: float = KEPT_SECONDS) -> list[Pause]:
        """The timed pauses of a generation, oldest first."""
        return [pause for pause in self._pauses[generation].copy() if pause.at > now - seconds]

    def long(self, now: float, seconds: float, least_ms: float = LONG_MS) -> list[Pause]:
        """The long pauses of the last seconds, oldest first."""
        return [pause for pause in self.notable.copy() if pause.at > now - seconds and pause.ms >= least_ms]


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile; ``None`` of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
