"""Records what comes in: what is under way, and what was answered."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from beamlens.domains.requests.book import Book
from beamlens.probes import inbound
from beamlens.probes.rates import Rates
from beamlens.probes.request_context import InboundRequest
from beamlens_actors import clock

MOST_IN_FLIGHT = 10_000
_MOST_PENDING = 10_000
ANSWERED, SOCKETS = "answered", "sockets"


class RequestRecorder:
    """The sink of the doors; `begun` and `answered` run on the host's threads and wait for no lock.

    What was answered is queued, and entered into the book by whoever finds its lock free: mostly the thread that has
    just answered. While a watcher reads, it waits in the queue.
    """

    def __init__(self) -> None:
        self.since: float | None = None
        self.rates = Rates()
        self._book = Book()
        self._lock = threading.Lock()
        self._pending: deque[InboundRequest] = deque(maxlen=_MOST_PENDING)
        self._in_flight: dict[int, InboundRequest] = {}
        self._sockets: dict[int, InboundRequest] = {}
        self._queued: itertools.count[int] = itertools.count()
        self._unseen: itertools.count[int] = itertools.count()

    def install(self) -> None:
        """Begin to record. What an earlier process had under way is not under way here."""
        if self.since is None:
            self.since = clock.time()
            self._lock = threading.Lock()
            self._in_flight.clear()
            self._sockets.clear()
        inbound.add(self)

    def uninstall(self) -> None:
        """Stop recording; what was recorded stays."""
        inbound.remove(self)
        self.since = None

    # -- on the host's threads -------------------------------------------------------------------------------

    def begun(self, request: InboundRequest) -> None:
        """See `inbound.Sink`."""
        if request.kind == "websocket":
            held = self._sockets
            self.rates.add(SOCKETS)
        else:
            held = self._in_flight
        if len(held) < MOST_IN_FLIGHT:
            held[id(request)] = request
        else:
            next(self._unseen)

    def answered(self, request: InboundRequest) -> None:
        """See `inbound.Sink`."""
        if request.kind == "websocket":
            self._sockets.pop(id(request), None)
            return
        self._in_flight.pop(id(request), None)
        self.rates.add(ANSWERED)
        self._pending.append(request)
        next(self._queued)
        if self._lock.acquire(blocking=False):
            try:
                self._enter_pending()
            finally:
                self._lock.release()

    def _enter_pending(self) -> None:
        pending, book = self._pending, self._book
        while True:
            try:
                request = pending.popleft()
            except IndexError:
                return
            book.enter(request)

    # -- reading ---------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Book]:
        """The book, with all that was answered entered. Host threads queue meanwhile, so be quick."""
        with self._lock:
            self._enter_pending()
            yield self._book

    def in_flight(self) -> list[InboundRequest]:
        """What is under way, oldest first."""
        return sorted(self._in_flight.copy().values(), key=lambda request: request.began)

    def sockets(self) -> list[InboundRequest]:
        """The WebSockets that are open, oldest first."""
        return sorted(self._sockets.copy().values(), key=lambda request: request.began)

    def dropped(self) -> int:
        """Requests that were answered while the queue was full, or not seen under way since 10 000 others were."""
        with self.reading() as book:
            lost = int(repr(self._queued)[6:-1]) - book.total - len(self._pending)
        return max(0, lost) + int(repr(self._unseen)[6:-1])
