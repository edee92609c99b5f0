"""The agent run that the current code belongs to: its trace id, and the thread that delivers its events."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar

current: ContextVar[Run | None] = ContextVar("beamlens_run", default=None)

_MOST_PENDING = 10_000


class Run:
    """One agent run, as telemetry sees it.

    Its events are delivered by the thread that made it. What its tools emit on threads of their own waits here until
    that thread calls `deliver`.

    Attributes:
        on_added: Is called when something waits, on the emitting thread; set by the run's thread while it waits itself.
    """

    def __init__(self, trace_id: str | None = None) -> None:
        self.trace_id = trace_id or new_trace_id()
        self._thread = threading.get_ident()
        self._pending: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._closed = False
        self._delivered = threading.Condition(self._lock)
        self._busy = False
        self.on_added: Callable[[], object] | None = None

    def here(self) -> bool:
        """Whether the calling thread is the one that delivers."""
        return threading.get_ident() == self._thread

    def add(self, deliver: Callable[[], None]) -> bool:
        """Leave a delivery for the run's thread. False when the run has ended or too much waits."""
        with self._lock:
            if self._closed or len(self._pending) >= _MOST_PENDING:
                return False
            self._pending.append(deliver)
        if (on_added := self.on_added) is not None:
            on_added()
        return True

    def deliver(self) -> None:
        """Make the deliveries that wait, in order. On the run's thread."""
        if not (self._pending or self._busy):  # as nearly always, and then no lock is needed
            return
        while True:
            with self._lock:
                if not self._pending:
                    self._busy = False
                    self._delivered.notify_all()
                    return
                self._busy = True
                deliver = self._pending.popleft()
            deliver()

    def close(self) -> None:
        """Deliver what waits and take no more."""
        with self._lock:
            self._closed = True
        self.deliver()

    def waiting(self) -> bool:
        """Whether deliveries wait or are being made."""
        with self._lock:
            return self._busy or bool(self._pending)

    def wait_delivered(self, wait_until: Callable[[threading.Condition, Callable[[], bool]], bool]) -> bool:
        """Wait until nothing waits, with the given waiting function."""
        with self._delivered:
            return wait_until(self._delivered, lambda: not self._busy and not self._pending)


def new_trace_id() -> str:
    """32 hex digits."""
    return secrets.token_hex(16)
