"""`HubToken`: how a greenlet on the hub waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenlet import getcurrent

if TYPE_CHECKING:
    from greenlet import greenlet

    from beamlens_actors.backends.hub import ActorHub


class HubToken:
    """A wait of a greenlet on the hub; see `clock.Token`. Any thread may release it."""

    __slots__ = ("_hub", "_late", "_released", "_waiting")

    def __init__(self, hub: ActorHub) -> None:
        self._hub = hub
        self._released = False
        self._late = False
        self._waiting: greenlet | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1.0) -> bool:
        """Park the calling greenlet until the token is released; False when `timeout` seconds passed first."""
        if self._released or not blocking:
            return self._released
        timer = None if timeout < 0 else self._hub.loop.timer(timeout)
        self._waiting = getcurrent()
        try:
            if timer is not None:
                timer.start(self._time_out, update=True)
            # Whoever releases sets the flag first and looks for a waiter then; here it is the other way round.
            while not self._released and not self._late:
                self._hub.park()
        finally:
            self._waiting = None
            if timer is not None:
                timer.stop()
                timer.close()
        return self._released

    def release(self) -> None:
        """Let the waiting greenlet go on."""
        self._released = True
        if self._waiting is not None:
            self._hub.resume(self)

    def take(self) -> greenlet | None:
        """On the hub: who is to be switched to, if it still waits."""
        waiting, self._waiting = self._waiting, None
        return waiting

    def _time_out(self) -> None:
        self._late = True
        waiting = self.take()
        if waiting is not None:
            self._hub.switch_to(waiting)
