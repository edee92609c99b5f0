"""What the sensors know about the server: asked seldom, sooner while one of the host's statements hangs."""

from __future__ import annotations

from collections.abc import Mapping

from beamlens.domains.database import postgres
from beamlens.domains.database.server import PostgresServer, ServerError
from beamlens_actors import clock

POLL_S = 30.0
_SOONER_S = 4.0
_STALE_POLLS = 2.5


class Pulse:
    """The last reading of the server; `tick` starts the next one when it is due, and never waits."""

    def __init__(self, server: PostgresServer, poll: float = POLL_S) -> None:
        """Make one.

        Args:
            server: Whom to ask.
            poll: Seconds between two readings; at most 4 while a statement of the host's hangs.
        """
        self._server = server
        self._poll = poll
        self._asked = float("-inf")
        # Replaced, never changed: written by the thread that asks, read by any.
        self._reading: tuple[float, Mapping[str, float]] = (float("-inf"), {})
        self.error: str | None = None

    def tick(self, *, hangs: bool) -> None:
        """Ask again if it is time.

        Args:
            hangs: Whether a statement of the host's has been running for long.
        """
        now = clock.monotonic()
        if now - self._asked < (min(_SOONER_S, self._poll) if hangs else self._poll):
            return
        self._asked = now
        try:
            self._server.start(postgres.pulse, self._take)
        except ServerError as error:
            self.error = str(error)

    def _take(self, answer: Mapping[str, float] | ServerError) -> None:
        if isinstance(answer, ServerError):
            self.error = str(answer)
            return
        self.error = None
        self._reading = clock.monotonic(), answer

    def values(self) -> Mapping[str, float]:
        """The last reading; nothing when it is too old to speak of now."""
        at, values = self._reading
        return values if clock.monotonic() - at <= _STALE_POLLS * max(self._poll, _SOONER_S) else {}
