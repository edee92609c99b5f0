"""How large the tables were, minute by minute, for an hour."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

INTERVAL = 60.0
KEPT = 60


@dataclass(frozen=True, slots=True)
class Sample:
    """The sizes at one moment.

    Attributes:
        at: When, on a monotonic clock.
        rss_mb: Resident memory of the process.
        sizes: Table name to items.
    """

    at: float
    rss_mb: float | None
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Change:
    """How a table changed between two samples.

    Attributes:
        name: The table.
        before: Items at the older one; ``None`` when it was not there.
        now: Items at the newer one.
        only_grows: Whether no sample between them is smaller than the one before it; true of two samples that grew.
        samples: How many samples saw it.
    """

    name: str
    before: int | None
    now: int
    only_grows: bool
    samples: int

    @property
    def delta(self) -> int:
        """Items more."""
        return self.now - (self.before or 0)

    @property
    def pct(self) -> float:
        """Growth in percent; of a new table, or one that was empty, 100."""
        return round(100 * self.delta / self.before, 2) if self.before else 100.0 if self.delta else 0.0


class History:
    """The last samples, oldest first. One thread adds, any reads."""

    def __init__(self, kept: int = KEPT) -> None:
        self._samples: deque[Sample] = deque(maxlen=kept)

    def add(self, sample: Sample) -> None:
        """Take a sample."""
        self._samples.append(sample)

    def samples(self, seconds: float | None = None) -> list[Sample]:
        """The samples of the last `seconds` before the newest one, or all; the oldest first, the newest last."""
        held = sorted(self._samples.copy(), key=lambda sample: sample.at)
        if seconds is None or not held:
            return held
        return [sample for sample in held if sample.at >= held[-1].at - seconds]

    def changes(self, seconds: float | None = None) -> list[Change]:
        """How each table that is still there changed, the largest growth first; shrinking tables come last."""
        held = self.samples(seconds)
        if len(held) < 2:
            return []
        found = []
        for name, now in held[-1].sizes.items():
            sizes = [sample.sizes[name] for sample in held if name in sample.sizes]
            steady = all(earlier <= later for earlier, later in itertools.pairwise(sizes))
            grew = now > (held[0].sizes.get(name) or 0)
            found.append(Change(name, held[0].sizes.get(name), now, steady and grew, len(sizes)))
        return sorted(found, key=lambda change: -change.delta)

    def rss_growth_mb(self, seconds: float | None = None) -> float | None:
        """How much the resident memory grew over the samples."""
        known = [sample.rss_mb for sample in self.samples(seconds) if sample.rss_mb is not None]
        return round(known[-1] - known[0], 2) if len(known) > 1 else None
