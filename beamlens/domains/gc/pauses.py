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
        work: As `seconds`, in processor time.
        cpu: Processor time of the whole process.
    """

    at: float
    span: float
    seconds: float
    runs: tuple[int, int, int]
    collected: int
    timed: int
    work: float
    cpu: float


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
        cpu: float,
    ) -> None:
        """Take what happened since the last reading.

        Args:
            found: The collections that were timed.
            runs: Collections by generation, as the interpreter counts them.
            collected: Objects freed, as the interpreter counts them.
            now: Monotonic seconds.
            wall: Seconds since the epoch.
            span: Seconds since the last reading.
            cpu: Processor time of the process since then.
        """
        seconds = work = 0.0
        for generation in GENERATIONS:
            timed = [one for one in found if one.generation == generation]
            if timed or runs[generation]:
                self.last[generation] = now
            all_of_one = max(1.0, runs[generation] / len(timed)) if timed else 0.0
            seconds += all_of_one * sum(one.lasted for one in timed)
            work += all_of_one * sum(one.seconds for one in timed)
            for one in timed:
                pause = Pause(now, wall, one.seconds * 1e3, generation, one.collected)
                self._pauses[generation].append(pause)
                if pause.ms >= _NOTABLE_MS:
                    self.notable.append(pause)
        self._tallies.append(Tally(now, span, seconds, runs, collected, len(found), work, cpu))

    def tallies(self, now: float, seconds: float) -> list[Tally]:
        """The readings of the last seconds."""
        return [tally for tally in self._tallies.copy() if now - seconds < tally.at <= now]

    def share_pct(self, now: float, seconds: float) -> float | None:
        """Share of time in the collector, in percent, as on a machine with processors to spare.

        Where others take the processors, all that the process does is stretched, and what it waits for is not: the
        collector seems to take more of the time than it does. By as much as its pauses are stretched, the rest of the
        process's work is taken to be. ``None`` before anything was read.
        """
        tallies = self.tallies(now, seconds)
        span = sum(tally.span for tally in tallies)
        if span <= 0:
            return None
        work, cpu = sum(tally.work for tally in tallies), sum(tally.cpu for tally in tallies)
        if work <= 0:
            return 0.0
        stretched = max(1.0, sum(tally.seconds for tally in tallies) / work)
        unstretched = max(span - (stretched - 1) * cpu, min(cpu, span), work)
        return min(100.0, 100 * work / unstretched)

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
