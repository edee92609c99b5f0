# ruff: noqa: SLF001 - of the lock: threading.Condition does it so too
"""`Condition`: wait until something holds, on a thread or on a greenlet."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from beamlens_actors import clock, context

if TYPE_CHECKING:
    from collections.abc import Callable

    from beamlens_actors.clock import Token


class Condition:
    """`threading.Condition` for every backend: on a hub it parks the caller only, and not the hub's thread.

    Its lock must be re-entrant, as a finaliser or a signal handler may come to it on the thread that holds it. Hold it
    for moments: what waits for the lock itself parks its whole thread.
    """

    __slots__ = ("_lock", "_tokens")

    def __init__(self, lock: threading.RLock | None = None) -> None:
        """Wait with an own lock, or with the given one."""
        # Its private methods let go of a lock that is held more than once, as threading.Condition does.
        self._lock: Any = threading.RLock() if lock is None else lock
        self._tokens: deque[Token] = deque()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_exc: object) -> None:
        self._lock.release()

    def wait_until(self, predicate: Callable[[], Any], timeout: float | None = None) -> bool:
        """Wait until `predicate()`; the caller holds the lock, as the predicate does.

        Returns whether it holds at the end: False when `timeout` seconds passed first.
        """
        deadline = None if timeout is None else clock.monotonic() + timeout
        while not predicate():
            left = None if deadline is None else deadline - clock.monotonic()
            if left is not None and left <= 0:
                return False
            self._wait(left)
        return True

    def _wait(self, timeout: float | None) -> None:
        token = context.make_token()
        self._tokens.append(token)
        held = self._lock._release_save()
        through = False
        try:
            clock.acquire(token, timeout)
            through = True
        finally:
            self._lock._acquire_restore(held)
            try:
                self._tokens.remove(token)
            except ValueError:  # whoever woke it took it
                if not through:
                    self.notify()  # it was interrupted, killed say, and will not look

    def notify(self) -> None:
        """Let one waiter look again; the caller holds the lock."""
        if self._tokens:
            clock.release(self._tokens.popleft())

    def notify_all(self) -> None:
        """Let all waiters look again; the caller holds the lock."""
        while self._tokens:
            clock.release(self._tokens.popleft())
