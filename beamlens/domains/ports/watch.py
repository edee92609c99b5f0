"""What the sensors read: cheap counts each time, the whole table only as often as it costs nothing to speak of."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass

from beamlens.domains.ports import network, table
from beamlens.domains.ports.network import Counters, Destination
from beamlens.domains.ports.table import Table
from beamlens.probes import descriptors, limits, process, sockets
from beamlens_actors import clock

STALE = 3.0
"""Seconds in CLOSE_WAIT after which a socket counts as forgotten: a program that closes does so at once."""

_SCAN_EVERY = 5.0
_HISTORY_EVERY = 5.0
_HISTORY = 720
_COST = 50.0
_TOP = 10
_PATIENCE = 3.0
_CROWDED = 0.1
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Sample:
    """The past at one moment: descriptors, queued bytes, and the sockets that queued the most (inode to bytes)."""

    at: float
    count: int | None
    send: int | None
    receive: int | None
    top: dict[int, int]


class Paced:
    """Lets a piece of work go on at most every `every` seconds, and at most for 2 % of the time."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._next = 0.0

    def due(self) -> bool:
        """Whether it may begin."""
        return clock.monotonic() >= self._next

    def ended(self, began: float) -> None:
        """It ended; `began` is its begin on ``time.monotonic``."""
        self._next = clock.monotonic() + max(self._every, _COST * (time.monotonic() - began))


class Watch:
    """Follows descriptors and sockets over time. Used by one thread at a time: `sense` and `table` hold a lock."""

    def __init__(self) -> None:
        descriptors.prepare()
        self._lock = threading.Lock()
        self._scans = Paced(_SCAN_EVERY)
        self._owning = Paced(1.0)
        self._crowds = Paced(_SCAN_EVERY)
        self._table: tuple[float, Table] | None = None
        self._closing: dict[int, float] = {}
        self._own: dict[int, int] = {}
        self._foreign: set[int] = set()
        self._overflows: tuple[float, int] | None = None
        self._rate: float | None = None
        self._destinations: list[Destination] = []
        self._history: deque[Sample] = deque(maxlen=_HISTORY)
        self.counters = Counters(None, None, None, None, None)
        self.forgotten: frozenset[int] = frozenset()
        """Own descriptors that are in CLOSE_WAIT for `STALE` seconds."""

    def sense(self) -> dict[str, float | None]:
        """The numbers that the sensors read. What comes from a whole table is there only when it was just read."""
        with self._lock:
            self.counters = network.read()
            listing = sockets.read("CLOSE_WAIT", "LISTEN", seconds=0.2)
            self._follow([one.inode for one in listing.sockets if one.state == "CLOSE_WAIT" and one.inode])
            scanned = self._scans.due()
            if scanned:
                self._scan()
            self._remember()
            now = self._table[1] if self._table is not None else None
            inodes = {} if now is None else self._own
            accepting = [one for one in listing.sockets if one.state == "LISTEN" and one.inode in inodes]
            full = [100.0 * one.receive / one.send for one in accepting if one.send > 0]
            self._count_overflows()
            values: dict[str, float | None] = {
                "port_count": process.descriptors(),
                "close_wait_stale": None if listing.failure else len(self.forgotten),
                # A sensor goes quiet by a number, not by the lack of one.
                "listen_backlog_pct": None if listing.failure else round(max(full, default=0.0), 2),
                "listen_overflows_per_s": self._rate if accepting else 0.0,
                "ephemeral_used_pct": self._crowd(),
            }
            if scanned and now is not None and now.complete and not now.failure:
                send, receive = now.queued()
                values |= {"send_queue_mb": send / _MB, "receive_queue_mb": receive / _MB}
            if scanned and now is not None and now.complete:
                values["deleted_mb"] = now.deleted_bytes() / _MB
            return values

    def table(self, fresh: float = 1.0) -> Table:
        """The table, read anew when it is older than `fresh` seconds."""
        with self._lock:
            held = self._table
            if held is None or clock.monotonic() - held[0] > fresh:
                held = self._scan()
            return held[1]

    def history(self, minutes: float) -> list[Sample]:
        """The past, oldest first: one sample every five seconds, for an hour at most."""
        since = clock.monotonic() - 60 * minutes
        return [sample for sample in list(self._history) if sample.at >= since]

    def destinations(self) -> list[Destination]:
        """Peers by the local ports that connections to them use, the most first; up to a second."""
        with self._lock:
            return self._count_destinations()

    def _scan(self) -> tuple[float, Table]:
        began = time.monotonic()
        read = table.read(_PATIENCE)
        held = self._table = clock.monotonic(), read
        self._own = _inodes(read)
        self._foreign.clear()
        self._scans.ended(began)
        return held

    def _follow(self, closing: list[int]) -> None:
        """Remember since when sockets are in CLOSE_WAIT; whose they are is asked only of those that stay."""
        now = clock.monotonic()
        self._closing = {inode: self._closing.get(inode, now) for inode in closing}
        stale = {inode for inode, since in self._closing.items() if now - since >= STALE}
        self._foreign &= stale
        unknown = stale - self._foreign - self._own.keys()
        if unknown and self._owning.due():
            began = time.monotonic()
            scan = descriptors.scan(_PATIENCE)
            self._own = _by_inode(scan.targets)
            if scan.complete:
                self._foreign |= unknown - self._own.keys()
            self._owning.ended(began)
        self.forgotten = frozenset(self._own[inode] for inode in stale if inode in self._own)

    def _remember(self) -> None:
        now = clock.monotonic()
        if self._history and now - self._history[-1].at < _HISTORY_EVERY:
            return
        send = receive = None
        top: dict[int, int] = {}
        if self._table is not None and not self._table[1].failure:
            send, receive = self._table[1].queued()
            rows = [one for one in self._table[1].connections() if one.state != "LISTEN" and one.send + one.receive]
            rows.sort(key=lambda one: -(one.send + one.receive))
            top = {one.inode: one.send + one.receive for one in rows[:_TOP]}
        self._history.append(Sample(now, process.descriptors(), send, receive, top))

    def _count_overflows(self) -> None:
        now, count = clock.monotonic(), self.counters.overflows
        before = self._overflows
        if count is None or before is None:
            self._rate = None
        elif now > before[0]:
            self._rate = round(max(0, count - before[1]) / (now - before[0]), 3)
        else:
            return
        self._overflows = None if count is None else (now, count)

    def _crowd(self) -> float | None:
        """Percent of the local ports that connections to one peer use; counted only when many are in use."""
        numbers = self.counters
        if numbers.ports is None or numbers.open is None or numbers.time_wait is None:
            return None
        if numbers.open + numbers.time_wait < _CROWDED * numbers.ports:
            self._destinations = []
            return round(100 * (numbers.open + numbers.time_wait) / numbers.ports, 2)
        if self._crowds.due():
            began = time.monotonic()
            self._count_destinations()
            self._crowds.ended(began)
        most = self._destinations[0].count if self._destinations else 0
        return round(100 * most / numbers.ports, 2)

    def _count_destinations(self) -> list[Destination]:
        rows = sockets.read(seconds=1.0).sockets
        accepting = frozenset(one.local.port for one in rows if one.state == "LISTEN")
        self._destinations = network.busiest(rows, accepting)
        return self._destinations


def _inodes(read: Table) -> dict[int, int]:
    return _by_inode({entry.number: entry.target for entry in read.entries})


def _by_inode(targets: dict[int, str]) -> dict[int, int]:
    """Socket inode to descriptor."""
    pairs = ((descriptors.inode_of(target), number) for number, target in targets.items())
    return {inode: number for inode, number in pairs if inode is not None}


@dataclass(frozen=True, slots=True)
class Trend:
    """How a number moved: per minute, over how many minutes, and whether it rose steadily."""

    per_minute: float
    minutes: float
    steady: bool


_FEWEST = 4
_MOST_PAIRS = 60
_STEADY = 0.6


def trend(samples: list[tuple[float, float]]) -> Trend | None:
    """The slope of samples (seconds, value), median of the slopes of all pairs; ``None`` for fewer than four."""
    step = max(1, len(samples) // _MOST_PAIRS)
    kept = samples[::-step][::-1]
    if len(kept) < _FEWEST:
        return None
    slopes, score, pairs = [], 0, 0
    for (before, first), (after, last) in itertools.combinations(kept, 2):
        pairs += 1
        score += (last > first) - (last < first)
        if after > before:
            slopes.append((last - first) / (after - before))
    if not slopes:
        return None
    slopes.sort()
    per_minute = 60 * slopes[len(slopes) // 2]
    return Trend(per_minute, (kept[-1][0] - kept[0][0]) / 60, steady=per_minute > 0 and score / pairs >= _STEADY)


def descriptor_limit() -> float | None:
    """``RLIMIT_NOFILE``: some programs change it while they run."""
    found = limits.descriptors()
    return None if found is None else found.value
