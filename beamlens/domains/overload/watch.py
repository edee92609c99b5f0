"""Which queues grow: each measured against its own past, never judged by its size."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from beamlens.detect import Growth, Reading
from beamlens.domains.overload.queues import QueueLook

LEAST = 50
_WINDOW = 20
_TRACKED = 200
_KEPT = 60
_FULL = 0.95
_DROPPING = 3
_QUIET = Reading(active=False)


@dataclass(slots=True)
class Tracked:
    """A queue's past.

    Attributes:
        look: The latest look.
        reading: What its growth detector says.
        since: When it began to grow, seconds on the monotonic clock.
        samples: Moments and depths, at most 60.
    """

    look: QueueLook
    growth: Growth
    reading: Reading = _QUIET
    since: float | None = None
    samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    drops: deque[int] = field(default_factory=lambda: deque(maxlen=6))

    @property
    def rate(self) -> float | None:
        """Items a second that it grows by, as measured; 0 while it does not grow, ``None`` until it can be told."""
        if len(self.samples) < 2:
            return None
        return self.reading.data.get("rate_per_s", 0.0) if self.reading.active else 0.0

    @property
    def to_overflow(self) -> float | None:
        """Seconds until its bound at this pace; ``None`` without a bound or growth."""
        limit, rate = self.look.capacity, self.rate
        if limit is None or not rate or rate <= 0:
            return None
        return max(0, limit - self.look.depth) / rate

    @property
    def full(self) -> bool:
        """Whether it is at its bound."""
        return self.look.capacity is not None and self.look.depth >= _FULL * self.look.capacity

    @property
    def dropping(self) -> bool:
        """Whether it lost items between three or more of the last looks."""
        taken = list(self.drops)
        return sum(later > earlier for earlier, later in itertools.pairwise(taken)) >= _DROPPING


class Watch:
    """The queues that are followed: the deepest, and those that were. Updated by one thread at a time, read by any."""

    def __init__(self) -> None:
        self.tracked: dict[int, Tracked] = {}

    def update(self, now: float, looks: Sequence[QueueLook]) -> None:
        """Take the looks of this moment, deepest first."""
        here = {look.key for look in looks}
        for key in [key for key in self.tracked if key not in here]:
            del self.tracked[key]
        for look in looks:
            one = self.tracked.get(look.key)
            if one is None or one.look.name != look.name:
                if len(self.tracked) >= _TRACKED and look.key not in self.tracked:
                    continue
                one = self.tracked[look.key] = Tracked(look, _growth(look, self._capacity_of(look.key)))
            one.look = look
            one.samples.append((now, look.depth))
            one.drops.append(look.dropped)
            one.reading = one.growth.update(now, float(look.depth))
            if not one.reading.active:
                one.since = None
            elif one.since is None:
                one.since = now - one.reading.data.get("seconds", 0.0)

    def _capacity_of(self, key: int) -> Callable[[], float | None]:
        def capacity() -> float | None:
            one = self.tracked.get(key)
            return None if one is None or one.look.capacity is None else float(one.look.capacity)

        return capacity

    @property
    def growing(self) -> list[Tracked]:
        """The queues that grow, those that run full first come first, then the fastest."""
        found = [one for one in list(self.tracked.values()) if one.reading.active]
        return sorted(found, key=lambda one: (one.to_overflow or float("inf"), -(one.rate or 0.0)))

    @property
    def dropping(self) -> list[Tracked]:
        """The queues that lose items."""
        return sorted((one for one in list(self.tracked.values()) if one.dropping), key=lambda one: -one.look.dropped)

    def growth_reading(self) -> Reading:
        """What the sensor says: the worst one, and how many more."""
        growing = self.growing
        if not growing:
            return _QUIET
        reading, more = growing[0].reading, len(growing) - 1
        also = f"; {more} more queues grow" if more > 1 else f"; {growing[1].look.name} grows too" if more else ""
        return Reading(True, reading.reason + also, reading.severity, {**reading.data, "growing": float(more + 1)})

    def drop_reading(self) -> Reading:
        """What the sensor for lost items says."""
        dropping = self.dropping
        if not dropping:
            return _QUIET
        one = dropping[0]
        lost = one.drops[-1] - one.drops[0]
        reason = (
            f"{one.look.name} is at {one.look.depth} of {one.look.capacity or 0} and refused or dropped {lost} items "
            f"within {len(one.drops)} looks, {one.look.dropped} in all"
        )
        return Reading(True, reason, "critical", {"lost": float(lost), "dropped": float(one.look.dropped)})


class Told:
    """A detector that says what the watch has found: its findings have names of queues, not one number."""

    def __init__(self, reading: Callable[[], Reading]) -> None:
        self._reading = reading

    def update(self, timestamp: float, value: float) -> Reading:  # noqa: ARG002 - a detector's signature
        """See `Detector.update`."""
        return self._reading()


def _growth(look: QueueLook, capacity: Callable[[], float | None]) -> Growth:
    return Growth(least=LEAST, unit="items", window=_WINDOW, limit=capacity, what=f"the {look.name}")
