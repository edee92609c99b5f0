"""What was called, by host and route and five seconds: bounded in hosts, routes, lines and time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from beamlens.domains.histogram import Histogram
from beamlens.domains.http_client.call import Call
from beamlens.domains.http_client.failure import CANCELLED
from beamlens.domains.http_client.streak import Streak
from beamlens.probes.call_site import Site
from beamlens_actors import clock

SLOT = 5
WINDOW = 60
MOST_HOSTS = 100
MOST_ROUTES = 300
OTHER = "(other)"
"""The host, or route, of all that came after so many others."""
_SLOTS = WINDOW // SLOT + 1
_MOST_SITES = 16
_SLOW_SLOTS = 300 // SLOT
_SLOWEST = 10
_FAILED = 300


@dataclass(slots=True)
class Spent:
    """What one line spent: calls, seconds, failures."""

    calls: int = 0
    seconds: float = 0.0
    failed: int = 0


@dataclass(slots=True)
class Tally:
    """Sums over some calls.

    Attributes:
        took: Their times.
        first: Their times to the first byte.
        errors: Kind of failure to count; see `failure.KINDS`.
        statuses: Status class to count.
        cancelled: Given up by the program.
        retries: Times that a library sent one again.
        retried: Calls that were sent again.
        waits: Calls that waited for a connection, with their seconds in all and the longest.
        received: Bytes of bodies.
        sites: Line to what it spent; at most 16.
    """

    took: Histogram = field(default_factory=Histogram)
    first: Histogram = field(default_factory=Histogram)
    errors: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    cancelled: int = 0
    retries: int = 0
    retried: int = 0
    waits: list[float] = field(default_factory=lambda: [0, 0.0, 0.0])
    received: int = 0
    sites: dict[Site | None, Spent] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Calls."""
        return self.took.count

    @property
    def failed(self) -> int:
        """Those that failed."""
        return sum(self.errors.values())

    def add(self, call: Call) -> None:
        """Take one that has ended."""
        took = call.took or 0.0
        self.took.add(took)
        if call.first_byte is not None:
            self.first.add(call.first_byte)
        if call.error == CANCELLED:
            self.cancelled += 1
        elif call.error:
            self.errors[call.error] = self.errors.get(call.error, 0) + 1
        if call.status:
            status = f"{call.status // 100}xx"
            self.statuses[status] = self.statuses.get(status, 0) + 1
        if call.retries:
            self.retries += call.retries
            self.retried += 1
        if call.pool_wait:
            self._waited(1, call.pool_wait, call.pool_wait)
        self.received += call.received or 0
        self._spent(call.site, 1, took, int(call.failed))

    def _waited(self, count: float, seconds: float, most: float) -> None:
        waits = self.waits
        self.waits = [waits[0] + count, waits[1] + seconds, max(waits[2], most)]

    def _spent(self, site: Site | None, calls: int, seconds: float, failed: int) -> None:
        found = self.sites.get(site)
        if found is None:
            if len(self.sites) >= _MOST_SITES:
                return
            found = self.sites[site] = Spent()
        found.calls += calls
        found.seconds += seconds
        found.failed += failed

    def merge(self, other: Tally) -> None:
        """Take all that another one has taken."""
        self.took.merge(other.took)
        self.first.merge(other.first)
        for mine, theirs in ((self.errors, other.errors), (self.statuses, other.statuses)):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
        self.cancelled += other.cancelled
        self.retries += other.retries
        self.retried += other.retried
        if other.waits[0]:
            self._waited(other.waits[0], other.waits[1], other.waits[2])
        self.received += other.received
        for site, spent in other.sites.items():
            self._spent(site, spent.calls, spent.seconds, spent.failed)


class Past:
    """The last minute of a host or route, and the times of all before the newest slot."""

    __slots__ = ("ever", "host", "slots", "streak")

    def __init__(self, host: str) -> None:
        self.host = host
        self.ever = Histogram()
        self.streak = Streak()
        self.slots: deque[tuple[int, Tally]] = deque(maxlen=_SLOTS)

    def tally(self, slot: int) -> Tally:
        """What the calls of this slot go into; a clock that steps back makes no new one."""
        if not self.slots or self.slots[-1][0] < slot:
            if self.slots:
                self.ever.merge(self.slots[-1][1].took)
            self.slots.append((slot, Tally()))
        return self.slots[-1][1]

    def recent(self, seconds: int) -> Tally:
        """Sums over the last seconds, to the next five."""
        newest, found = int(clock.time()) // SLOT, Tally()
        for slot, tally in self.slots:
            if newest - seconds // SLOT <= slot <= newest:
                found.merge(tally)
        return found

    def idle(self, slot: int) -> bool:
        """Whether nothing came within the window."""
        return not self.slots or self.slots[-1][0] <= slot - _SLOTS


class Book:
    """All hosts and routes. Used by one thread at a time: whoever writes or reads holds the recorder's lock."""

    def __init__(self) -> None:
        self._hosts: dict[str, Past] = {}
        self._routes: dict[str, Past] = {}
        self._slow: deque[tuple[int, list[tuple[float, int, Call]]]] = deque(maxlen=_SLOW_SLOTS)
        self._failed: deque[Call] = deque(maxlen=_FAILED)
        self.total = 0

    def enter(self, call: Call) -> None:
        """Take one that has ended; about 15 us, on Beamlens's own thread."""
        slot = int(call.at + (call.took or 0.0)) // SLOT
        self.total += 1
        host = _past(self._hosts, call.host, call.host, slot, MOST_HOSTS)
        host.tally(slot).add(call)
        host.streak.add(call)
        _past(self._routes, call.route, call.host, slot, MOST_ROUTES).tally(slot).add(call)
        call.path = ""  # the route says enough, and no id is kept
        if call.failed:
            self._failed.append(call)
        self._keep_if_slow(slot, call)

    def _keep_if_slow(self, slot: int, call: Call) -> None:
        if not self._slow or self._slow[-1][0] < slot:
            self._slow.append((slot, []))
        entry, slowest = (call.took or 0.0, self.total, call), self._slow[-1][1]
        if len(slowest) < _SLOWEST:
            heapq.heappush(slowest, entry)
        elif entry > slowest[0]:
            heapq.heapreplace(slowest, entry)

    def hosts(self, seconds: int = WINDOW) -> dict[str, Tally]:
        """Host to its sums over the last seconds, at most 60; quiet ones left out."""
        return dict(_recent(self._hosts, seconds))

    def routes(self, seconds: int = WINDOW, host: str | None = None) -> dict[str, Tally]:
        """The same by route, of one host or all."""
        held = {name: past for name, past in self._routes.items() if host is None or past.host == host}
        return dict(_recent(held, seconds))

    def ever(self, host: str) -> Histogram | None:
        """The times of all calls of a host since it is known; ``None`` when it is not."""
        past = self._hosts.get(host)
        if past is None:
            return None
        found = Histogram()
        found.merge(past.ever)
        if past.slots:
            found.merge(past.slots[-1][1].took)
        return found

    def down(self) -> dict[str, Streak]:
        """Hosts that fail each time, to what came of the calls to them."""
        now = clock.time()
        return {name: replace(past.streak) for name, past in self._hosts.items() if past.streak.down(now)}

    def names(self) -> list[str]:
        """The hosts that are known."""
        return sorted(self._hosts)

    def slow(self) -> list[Call]:
        """The slowest of the last five minutes, slowest first: of every five seconds the ten."""
        oldest = int(clock.time()) // SLOT - _SLOW_SLOTS
        held = [entry for slot, entries in self._slow if slot > oldest for entry in entries]
        return [call for _, _, call in sorted(held, reverse=True)]

    def failed(self, seconds: float | None = None) -> list[Call]:
        """The latest that failed, newest first; at most 300."""
        oldest = float("-inf") if seconds is None else clock.time() - seconds
        return [call for call in reversed(self._failed) if call.at + (call.took or 0.0) >= oldest]


def _past(held: dict[str, Past], name: str, host: str, slot: int, most: int) -> Past:
    found = held.get(name)
    if found is not None:
        return found
    if len(held) >= most:
        for old, past in list(held.items()):
            if past.idle(slot):
                del held[old]
    if len(held) >= most:
        name = host = OTHER
    return held.setdefault(name, Past(host))


def _recent(held: dict[str, Past], seconds: int) -> Iterator[tuple[str, Tally]]:
    for name, past in held.items():
        tally = past.recent(seconds)
        if tally.count:
            yield name, tally
