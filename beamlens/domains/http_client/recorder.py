"""Records what goes out: what is in flight, and what has ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from beamlens.domains.http_client import taps
from beamlens.domains.http_client.book import Book
from beamlens.domains.http_client.call import Call, finish, lost
from beamlens.domains.http_client.failure import CANCELLED
from beamlens.domains.underway import Ended, UnderWay
from beamlens.probes.rates import Rates
from beamlens_actors import clock

MOST_IN_FLIGHT = 5_000
_MOST_PENDING = 10_000
ENDED = "ended"


class CallRecorder:
    """The sink of the taps; `begun` and `ended` run on the host's threads and wait for no lock."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.rates = Rates()
        self._book = Book()
        self._lock = threading.Lock()
        self._in_flight: UnderWay[Call] = UnderWay(MOST_IN_FLIGHT)
        self._ended: Ended[Call] = Ended(_MOST_PENDING)
        self._lost_before = 0

    def install(self) -> None:
        """Begin to record. What an earlier process had in flight is not in flight here."""
        if self.since is None:
            self.since = clock.time()
            self._lost_before = lost()
            self._lock = threading.Lock()
            self._in_flight.clear()
        taps.add(self)

    def uninstall(self) -> None:
        """Stop recording, and put everything back; what was recorded stays."""
        taps.remove(self)
        self.since = None
        self._in_flight.clear()

    # -- on the host's threads -------------------------------------------------------------------------------

    def begun(self, call: Call) -> None:
        """See `call.Sink`."""
        self._in_flight.begin(call)

    def ended(self, call: Call) -> None:
        """See `call.Sink`."""
        self._in_flight.end(call)
        self._ended.put(call)
        self.rates.add(ENDED)

    # -- reading ---------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Book]:
        """The book, with all that has ended entered; the host's threads do not notice."""
        self._reap()
        with self._lock:
            self._ended.drain(self._book.enter)
            yield self._book

    def in_flight(self) -> list[Call]:
        """What is in flight, oldest first."""
        self._reap()
        return self._in_flight.oldest_first()

    def _reap(self) -> None:
        """Answers that were dropped, or closed unread, have ended."""
        for call in self._in_flight.oldest_first():
            if call.returned:
                _reap(call)
            elif call.library == "http.client" and call.response is not None and call.response() is None:
                call.error = CANCELLED  # its connection was dropped before the answer was asked for
                finish(call)

    def dropped(self) -> int:
        """Calls that are missing in the book or among those in flight, and those that could not be told of.

        Missing are those that ended while 10 000 others waited to be entered, or that began while 5000 others were in
        flight.
        """
        with self.reading() as book:
            missing = self._ended.lost(book.total) + self._in_flight.unseen
        return missing + lost() - self._lost_before


def _reap(call: Call) -> None:
    reference = call.response
    if reference is None:
        return
    try:
        response = reference()
        if response is None:
            finish(call, at=call.first_byte)
        elif getattr(response, "closed", False):
            finish(call, _exception_of(response), at=call.first_byte)
    except Exception:  # noqa: BLE001 - it reads a library's objects
        finish(call, at=call.first_byte)


def _exception_of(response: Any) -> BaseException | None:
    """What ended the body of an answer of aiohttp before its end."""
    ask = getattr(getattr(response, "content", None), "exception", None)
    found = ask() if callable(ask) else None
    return found if isinstance(found, BaseException) else None
