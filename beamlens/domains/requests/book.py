"""What was answered, by route and five seconds: bounded in routes, time and calls."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from beamlens.domains.histogram import Histogram
from beamlens.probes.request_context import Call, InboundRequest, Kind
from beamlens_actors import clock

SLOT = 5
WINDOW = 60
MOST_ROUTES = 200
OTHER = "(other)"
"""The route of all that came after 200 others within a minute."""
_SLOTS = WINDOW // SLOT + 1
_MOST_CALLS = 32
_SLOW_SLOTS = 300 // SLOT
_SLOWEST = 10
_FAILED = 200


@dataclass(slots=True)
class Tally:
    """Sums over some requests.

    Attributes:
        took: Their times.
        queued: What they waited before, where it is known.
        statuses: Status class (``2xx``, or the outcome of a task) to count.
        errors: Failed: status 500 and above, an exception, a failed task.
        aborted: Ended by the client or cancelled.
        retried: Tasks that will be tried again.
        sql: Statements and their seconds.
        http: Outgoing calls and their seconds.
        calls: Call to requests that made it, times, seconds; at most 32.
    """

    took: Histogram = field(default_factory=Histogram)
    queued: Histogram = field(default_factory=Histogram)
    statuses: dict[str, int] = field(default_factory=dict)
    errors: int = 0
    aborted: int = 0
    retried: int = 0
    sql: list[float] = field(default_factory=lambda: [0, 0.0])
    http: list[float] = field(default_factory=lambda: [0, 0.0])
    calls: dict[Call, list[float]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Requests."""
        return self.took.count

    def add(self, request: InboundRequest) -> None:
        """Take one that was answered."""
        self.took.add(request.took or 0.0)
        if request.queued is not None:
            self.queued.add(request.queued)
        status = f"{request.status // 100}xx" if request.status else request.outcome
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if request.outcome == "error":
            self.errors += 1
        elif request.outcome == "aborted":
            self.aborted += 1
        elif request.outcome == "retry":
            self.retried += 1
        if request.sql_count:
            _sum_up(self.sql, (request.sql_count, request.sql_seconds))
        if request.http_count:
            _sum_up(self.http, (request.http_count, request.http_seconds))
        if request.repeats:
            for call, numbers in request.repeats.copy().items():
                self._call(call, (1, *numbers))

    def _call(self, call: Call, numbers: Iterable[float]) -> None:
        found = self.calls.get(call)
        if found is None:
            if len(self.calls) >= _MOST_CALLS:
                return
            found = self.calls[call] = [0, 0, 0.0]
        _sum_up(found, numbers)

    def merge(self, other: Tally) -> None:
        """Take all that another one has taken."""
        self.took.merge(other.took)
        if other.queued.count:
            self.queued.merge(other.queued)
        for status, count in other.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count
        self.errors += other.errors
        self.aborted += other.aborted
        self.retried += other.retried
        if other.sql[0]:
            _sum_up(self.sql, other.sql)
        if other.http[0]:
            _sum_up(self.http, other.http)
        for call, numbers in other.calls.items():
            self._call(call, numbers)


def _sum_up(sums: list[float], more: Iterable[float]) -> None:
    for index, number in enumerate(more):
        sums[index] += number


class RouteBook:
    """One route's last minute, and the times of all before the newest slot."""

    __slots__ = ("ever", "kind", "latest", "slots")

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self.latest = 0
        self.ever = Histogram()
        self.slots: deque[tuple[int, Tally]] = deque(maxlen=_SLOTS)

    def tally(self, slot: int) -> Tally:
        """What the requests of this slot go into; a clock that steps back makes no new one."""
        if not self.slots or self.slots[-1][0] < slot:
            if self.slots:
                self.ever.merge(self.slots[-1][1].took)
            self.slots.append((slot, Tally()))
            self.latest = slot
        return self.slots[-1][1]


class Book:
    """All routes. Not thread-safe: whoever writes or reads holds the recorder's lock."""

    def __init__(self) -> None:
        self._routes: dict[str, RouteBook] = {}
        self._slow: deque[tuple[int, list[tuple[float, int, str, InboundRequest]]]] = deque(maxlen=_SLOW_SLOTS)
        self._failed: deque[tuple[str, InboundRequest]] = deque(maxlen=_FAILED)
        self._number = 0
        self.total = 0

    def enter(self, request: InboundRequest) -> None:
        """Take one that was answered; about 3 us."""
        slot = int(clock.time()) // SLOT
        name = request.route
        book = self._routes.get(name)
        if book is None:
            name, book = self._open(name, request.kind, slot)
        book.tally(slot).add(request)
        self.total += 1
        if request.outcome == "error":
            self._failed.append((name, request))
        self._keep_if_slow(slot, name, request)

    def _open(self, name: str, kind: Kind, slot: int) -> tuple[str, RouteBook]:
        if len(self._routes) >= MOST_ROUTES:
            for old, book in list(self._routes.items()):
                if book.latest <= slot - _SLOTS:
                    del self._routes[old]
        if len(self._routes) >= MOST_ROUTES:
            name = OTHER
        return name, self._routes.setdefault(name, RouteBook(kind))

    def _keep_if_slow(self, slot: int, name: str, request: InboundRequest) -> None:
        if not self._slow or self._slow[-1][0] < slot:
            self._slow.append((slot, []))
        slowest = self._slow[-1][1]
        took = request.took or 0.0
        if len(slowest) < _SLOWEST:
            self._number += 1
            heapq.heappush(slowest, (took, self._number, name, request))
        elif took > slowest[0][0]:
            self._number += 1
            heapq.heapreplace(slowest, (took, self._number, name, request))

    def routes(self, seconds: int = WINDOW) -> dict[str, Tally]:
        """Route to its sums over the last seconds, at most 60, to the next five; quiet ones left out."""
        return {name: tally for name, book in self._routes.items() if (tally := _recent(book, seconds)).count}

    def route(self, name: str, seconds: int = WINDOW) -> Tally | None:
        """One route's sums; ``None`` when it is not known."""
        book = self._routes.get(name)
        return None if book is None else _recent(book, seconds)

    def kind(self, name: str) -> Kind:
        """What a route serves."""
        book = self._routes.get(name)
        return "http" if book is None else book.kind

    def ever(self, name: str) -> Histogram | None:
        """The times of all requests of a route since it is known; ``None`` when it is not."""
        book = self._routes.get(name)
        if book is None:
            return None
        found = Histogram()
        found.merge(book.ever)
        found.merge(book.slots[-1][1].took)
        return found

    def names(self) -> list[str]:
        """Names of the routes."""
        return sorted(self._routes)

    def slow(self) -> list[tuple[str, InboundRequest]]:
        """The slowest of the last five minutes, slowest first, with their route: of every five seconds the ten."""
        oldest = int(clock.time()) // SLOT - _SLOW_SLOTS
        held = [entry for slot, entries in self._slow if slot > oldest for entry in entries]
        return [(name, request) for _, _, name, request in sorted(held, key=lambda entry: -entry[0])]

    def failed(self) -> list[tuple[str, InboundRequest]]:
        """The latest that failed, newest first, with their route; at most 200."""
        return list(reversed(self._failed))


def _recent(book: RouteBook, seconds: int) -> Tally:
    newest = int(clock.time()) // SLOT
    found = Tally()
    for slot, tally in book.slots:
        if newest - seconds // SLOT <= slot <= newest:
            found.merge(tally)
    return found
