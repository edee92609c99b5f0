"""Sums of statements by second, and over the windows that they make up."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from beamlens_actors import clock

WINDOW = 60
_KEPT_SECONDS = 180


@dataclass(slots=True)
class Totals:
    """Sums over a window.

    Attributes:
        known: Statements whose usual time is known.
        slower: Those of them that took far longer.
        late: The same by fingerprint.
        faults: Errors but those that programs count on, as when a row is there already.
    """

    count: int = 0
    seconds: float = 0.0
    most: float = 0.0
    slow: int = 0
    errors: int = 0
    rows: int = 0
    repeated: int = 0
    known: int = 0
    slower: int = 0
    faults: int = 0
    late: Counter[str] = field(default_factory=Counter)

    def add(self, other: Totals) -> None:
        """Add those of another one."""
        self.count += other.count
        self.seconds += other.seconds
        self.most = max(self.most, other.most)
        self.slow += other.slow
        self.errors += other.errors
        self.rows += other.rows
        self.repeated += other.repeated
        self.known += other.known
        self.slower += other.slower
        self.faults += other.faults
        if other.late:
            self.late.update(other.late)


class Seconds:
    """The sums of the last three minutes, by second. Not for several threads: the ledger guards it."""

    def __init__(self) -> None:
        self._sums: OrderedDict[int, Totals] = OrderedDict()

    def at(self, second: int) -> Totals:
        """The sums of a second, in seconds since the epoch."""
        return self._sums.get(second) or self._new(second)

    def _new(self, second: int) -> Totals:
        sums = self._sums[second] = Totals()
        while len(self._sums) > _KEPT_SECONDS:
            self._sums.popitem(last=False)
        return sums

    def window(self, seconds: int = WINDOW, *, whole: bool = False) -> Totals:
        """Sums over the last `seconds`, at most 120.

        Args:
            seconds: Length of the window.
            whole: Leave out the second that has only begun.
        """
        last = int(clock.time()) - (1 if whole else 0)
        found = Totals()
        for second, sums in self._sums.items():
            if last - seconds < second <= last:
                found.add(sums)
        return found
