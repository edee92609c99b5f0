"""Keeps what is known about the tables: the last survey, the hour's sizes, what grew since it last shrank."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from beamlens.domains.ets.growth import History, Sample
from beamlens.domains.ets.hit_rate import Collapse, HitRate
from beamlens.domains.ets.survey import survey
from beamlens.domains.ets.tables import Numbers, Table, read
from beamlens.probes import process
from beamlens_actors import clock

_SENSED = 100
_SHRUNK = 0.9


@dataclass(frozen=True, slots=True)
class Row:
    """A table with its numbers of now."""

    table: Table
    numbers: Numbers

    @property
    def bytes(self) -> float | None:
        """Estimated memory."""
        return None if self.table.item_bytes is None else self.numbers.size * self.table.item_bytes


@dataclass(slots=True)
class _Kept:
    """What a table without a bound gained since it last shrank."""

    size: int
    bytes: float = 0.0


class TableRecorder:
    """Surveys, samples and senses. Nothing of it runs on a thread of the program's, and it holds no object of it."""

    def __init__(self) -> None:
        self.history = History()
        self.complete = True
        self.surveyed_at: float | None = None
        self._tables: tuple[Table, ...] = ()
        self._kept: dict[str, _Kept] = {}
        self._rates: dict[str, HitRate] = {}
        self._busy = threading.Lock()

    def install(self) -> None:
        """Nothing is installed in the program."""

    def uninstall(self) -> None:
        """Forget the tables, so that a later start does not compare with what was long ago."""
        self._kept, self._rates = {}, {}

    def sample(self, oldest: float = 0.0) -> bool:
        """Remember the sizes of the tables; find them anew if the last survey is older than `oldest` seconds.

        See `survey` for its cost. One at a time.

        Returns:
            Whether there was a survey.
        """
        surveyed = self.refresh(oldest)
        sizes = {row.table.name: row.numbers.size for row in self.rows()}
        self.history.add(Sample(clock.monotonic(), _rss_mb(), sizes))
        return surveyed

    def refresh(self, oldest: float) -> bool:
        """Find the tables anew if the last survey is `oldest` seconds old, or older; whether it was."""
        if self.surveyed_at is not None and clock.monotonic() - self.surveyed_at < oldest:
            return False
        with self._busy:
            tables, self.complete = survey()
            self._tables = tuple(tables)
            self.surveyed_at = clock.monotonic()
        return True

    def rows(self) -> list[Row]:
        """The tables of the last survey that are still there, with their numbers of now; about 5 us each."""
        found = []
        for table in self._tables:
            numbers = read(table)
            if numbers is not None:
                found.append(Row(table, numbers))
        return found

    def sense(self) -> tuple[float, float]:
        """What tables without a bound gained since they last shrank, in MB; the worst loss of a hit rate, in points.

        Reads the 100 tables that the survey ranked first, half a millisecond.
        """
        now = clock.monotonic()
        kept: dict[str, _Kept] = {}
        rates: dict[str, HitRate] = {}
        for table in self._tables[:_SENSED]:
            numbers = read(table)
            if numbers is None:
                continue
            if numbers.maxsize is None:
                kept[table.name] = self._gain(table, numbers.size)
            elif numbers.full and numbers.hits is not None and numbers.misses is not None:
                rates[table.name] = rate = self._rates.get(table.name) or HitRate()
                rate.update(now, numbers.hits, numbers.misses)
        self._kept, self._rates = kept, rates
        drop = max((rate.last.drop_pct for rate in rates.values() if rate.last is not None), default=0.0)
        return sum(one.bytes for one in kept.values()) / 1e6, drop

    def _gain(self, table: Table, size: int) -> _Kept:
        before = self._kept.get(table.name)
        if before is None or size < _SHRUNK * before.size:
            return _Kept(size)
        gained = max(0, size - before.size) * (table.item_bytes or 0.0)
        return _Kept(max(size, before.size), before.bytes + gained)

    def gainers(self) -> list[tuple[Table, float]]:
        """Tables without a bound by MB gained since they last shrank, the most first."""
        by_name = {table.name: table for table in self._tables}
        found = [(by_name[name], one.bytes / 1e6) for name, one in self._kept.items() if name in by_name and one.bytes]
        return sorted(found, key=lambda pair: -pair[1])

    def collapses(self) -> list[tuple[Table, Collapse]]:
        """Full caches with the loss of their hit rates, the worst first."""
        by_name = {table.name: table for table in self._tables}
        found = [
            (by_name[name], rate.last)
            for name, rate in self._rates.items()
            if rate.last is not None and name in by_name
        ]
        return sorted(found, key=lambda pair: -pair[1].drop_pct)

    def forget_lock(self) -> None:
        """In a forked child: whoever held the lock is not here."""
        self._busy = threading.Lock()


def _rss_mb() -> float | None:
    resident = process.resident()
    return None if resident is None else resident / 1e6
