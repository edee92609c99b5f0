"""The ring of log records, and exact counts by window although the ring is smaller than the traffic."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from dataclasses import dataclass

from beamlens.domains.logger.counts import LevelCounts, taken
from beamlens.probes import logtap
from beamlens.probes.logtap import LogFields, LogText, Sink, log_text
from beamlens_actors import clock

RING = 1000
ERROR_RING = 500
WINDOW = 60
_MOST_SITES = 500
_WARNING, _ERROR = logging.WARNING, logging.ERROR

Site = tuple[str, str, int, int]


@dataclass(frozen=True, slots=True)
class SiteCount:
    """A line that logs warnings or errors, and how often since recording began."""

    logger: str
    file: str
    line: int
    level: int
    count: int
    latest: float


class LogRecorder:
    """Records the host's log records; its sink runs on the threads that log and takes no lock.

    Errors have a ring of their own beside the one of all records, so that chatter does not push out what matters.
    """

    def __init__(self, ring: int = RING, error_ring: int = ERROR_RING) -> None:
        self._counts = LevelCounts()
        self._ring: deque[LogFields] = deque(maxlen=ring)
        self._errors: deque[tuple[float, LogFields]] = deque(maxlen=error_ring)
        # Site to its count and its latest time; a list, since two writers of it may lose a time but not a count.
        self._sites: dict[Site, tuple[itertools.count[int], list[float]]] = {}
        self.since: float | None = None
        self.record = self._make_record()

    def _make_record(self) -> Sink:
        """What takes one record: a closure, which has at hand what `self` would be asked for at each one."""
        keep, counts, notable = self._ring.append, self._counts, self._notable

        def record(fields: LogFields) -> None:
            keep(fields)
            created, level = fields[0], fields[1]
            try:
                begins, ends, counters = counts.latest
                if begins <= created < ends:
                    next(counters[level])
                else:
                    counts.take(created, level)
            except (KeyError, TypeError):  # a new level, or a time that is none
                counts.take(created, level)
            if level >= _WARNING:
                notable(fields, level)

        return record

    def install(self) -> None:
        """Begin to record."""
        if self.since is None:
            self.since = clock.time()
        logtap.add(self.record)

    def uninstall(self) -> None:
        """Stop recording; what was recorded stays."""
        logtap.remove(self.record)
        self.since = None

    def _notable(self, fields: LogFields, level: int) -> None:
        now = clock.time()
        if level >= _ERROR:
            self._errors.append((now, fields))
        site = (fields[2], fields[4], fields[5], level)
        found = self._sites.get(site)
        if found is None:
            if len(self._sites) >= _MOST_SITES:
                self._forget_sites()
            found = self._sites.setdefault(site, (itertools.count(), [now]))
        next(found[0])
        found[1][0] = now

    def _forget_sites(self) -> None:
        """Drop the half that was quiet longest, so that a full table costs little a record."""
        oldest = sorted(self._sites.copy().items(), key=lambda item: item[1][1][0])
        for site, _ in oldest[: _MOST_SITES // 2]:
            self._sites.pop(site, None)

    # -- reading ---------------------------------------------------------------------------------------------

    def records(self) -> list[LogText]:
        """The ring, newest first."""
        return [log_text(fields) for fields in reversed(self._ring.copy())]

    def errors(self, seconds: float | None = None) -> list[LogText]:
        """The errors that are held, newest first, of the last `seconds` or all."""
        oldest = float("-inf") if seconds is None else clock.time() - seconds
        return [log_text(fields) for at, fields in reversed(self._errors.copy()) if at >= oldest]

    def errors_span(self, seconds: float) -> float:
        """How much of the last `seconds` the held errors cover: less when more came than are held."""
        held = self._errors.copy()
        if len(held) < (held.maxlen or 0):
            return seconds
        return min(seconds, max(0.1, clock.time() - held[0][0]))

    def counts(self, seconds: int = WINDOW, *, whole: bool = False) -> dict[int, int]:
        """Exact counts by level of the last seconds, levels without records left out; see `LevelCounts.counts`."""
        return self._counts.counts(seconds, whole=whole)

    def sites(self) -> list[SiteCount]:
        """Lines that log warnings and errors, the busiest first; at most 500 are told apart."""
        found = [
            SiteCount(*site, count=taken(counter), latest=latest[0])
            for site, (counter, latest) in self._sites.copy().items()
        ]
        return sorted(found, key=lambda site: site.count, reverse=True)

    def error_loggers(self, seconds: float = WINDOW) -> int:
        """Loggers with an error in the window."""
        oldest = clock.time() - seconds
        return len({site.logger for site in self.sites() if site.level >= _ERROR and site.latest > oldest})

    def held(self) -> int:
        """Records in the ring."""
        return len(self._ring)

    def dropped(self) -> int:
        """Records that newer ones have pushed out of the ring."""
        return max(0, self._counts.total() - len(self._ring))

    @property
    def ring_size(self) -> int:
        """The most records that are held."""
        return self._ring.maxlen or 0
