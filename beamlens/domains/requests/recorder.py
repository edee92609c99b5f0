"""Records what comes in: what is under way, and what was answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from beamlens.domains.requests.book import Book
from beamlens.domains.underway import Ended, UnderWay
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
        self._in_flight: UnderWay[InboundRequest] = UnderWay(MOST_IN_FLIGHT)
        self._sockets: UnderWay[InboundRequest] = UnderWay(MOST_IN_FLIGHT)
        self._ended: Ended[InboundRequest] = Ended(_MOST_PENDING)

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
            self.rates.add(SOCKETS)
            self._sockets.begin(request)
        else:
            self._in_flight.begin(request)

    def answered(self, request: InboundRequest) -> None:
        """See `inbound.Sink`."""
        if request.kind == "websocket":
            self._sockets.end(request)
            return
        self._in_flight.end(request)
        self.rates.add(ANSWERED)
        self._ended.put(request)
        if self._lock.acquire(blocking=False):
            try:
                self._ended.drain(self._book.enter)
            finally:
                self._lock.release()

    # -- reading ---------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Book]:
        """The book, with all that was answered entered. Host threads queue meanwhile, so be quick."""
        with self._lock:
            self._ended.drain(self._book.enter)
            yield self._book

    def in_flight(self) -> list[InboundRequest]:
        """What is under way, oldest first."""
        return self._in_flight.oldest_first()

    def sockets(self) -> list[InboundRequest]:
        """The WebSockets that are open, oldest first."""
        return self._sockets.oldest_first()

    def dropped(self) -> int:
        """Requests that were answered while the queue was full, or not seen under way since 10 000 others were."""
        with self.reading() as book:
            lost = self._ended.lost(book.total)
        return lost + self._in_flight.unseen + self._sockets.unseen
