"""The runs that wait for an operator, and the one in progress: strictly in order, bounded, ended together."""

from __future__ import annotations

import threading
from collections import deque

from beamlens.errors import BeamlensError
from beamlens.operator.requests import Invoke

MOST_QUEUED = 1000


class QueueFull(BeamlensError):  # noqa: N818 - as the other errors are named
    """An operator has as many runs in line as it takes."""


class RunQueue:
    """Thread-safe. It is the operator's, and outlives it for a moment: whoever ends it may end what it held."""

    def __init__(self, most: int = MOST_QUEUED) -> None:
        self._most = most
        self._waiting: deque[Invoke] = deque()
        self._current: Invoke | None = None
        self._closed = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Runs that wait and are still wanted."""
        with self._lock:
            return sum(one.handle.state == "queued" for one in self._waiting)

    def put(self, request: Invoke) -> None:
        """Give it the last place.

        Raises:
            QueueFull: There is none.
            BeamlensError: It is closed.
        """
        with self._lock:
            if self._closed:
                raise BeamlensError(f"the operator {request.handle.name} has ended")
            if len(self._waiting) >= self._most:
                # Those that were cancelled keep no place.
                self._waiting = deque(one for one in self._waiting if one.handle.state == "queued")
            if len(self._waiting) >= self._most:
                text = f"the operator {request.handle.name} has {self._most} runs in line, which is the most"
                raise QueueFull(text)
            self._waiting.append(request)

    def next(self) -> Invoke | None:
        """Begin the first one that is still wanted; ``None`` when there is none, or one is in progress."""
        while True:
            with self._lock:
                if self._closed or self._current is not None or not self._waiting:
                    return None
                request = self._waiting.popleft()
                # At once, so that whoever closes the queue finds it.
                self._current = request
            if request.handle.begin():
                return request
            self.ended(request)

    def ended(self, request: Invoke) -> bool:
        """It is over. False: it was not the one in progress."""
        with self._lock:
            if self._current is not request:
                return False
            self._current = None
            return True

    @property
    def current(self) -> Invoke | None:
        """The one in progress."""
        return self._current

    def close(self) -> list[Invoke]:
        """Take no more, and give all that it held, the one in progress first."""
        with self._lock:
            self._closed = True
            held = [*([self._current] if self._current is not None else []), *self._waiting]
            self._current = None
            self._waiting.clear()
            return held
