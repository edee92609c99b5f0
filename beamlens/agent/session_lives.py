"""The sessions of a core: one of an id at a time, whether it is being started, runs or is being restarted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from beamlens.errors import BeamlensError

if TYPE_CHECKING:
    from beamlens.agent.session import SessionRef
    from beamlens.agent.session_life import SessionLife

RESTART = 5.0
"""Seconds that whoever wants a session that has just crashed waits until it is known what becomes of it."""


class SessionRunning(BeamlensError):  # noqa: N818 - as the other errors are named
    """A session of that id runs.

    Attributes:
        ref: The session; ``None``: it is being started.
    """

    def __init__(self, session_id: str, ref: SessionRef | None) -> None:
        what = (
            "is being started"
            if ref is None or not ref.is_alive()
            else "runs already: go on with it (lookup), or stop it first"
        )
        super().__init__(f"the session {session_id!r} {what}")
        self.ref = ref


class Lives:
    """A table of those that have not ended for good. Thread-safe."""

    def __init__(self) -> None:
        self._lives: dict[str, SessionLife] = {}
        self._starting: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def reserved(self, session_id: str) -> Iterator[None]:
        """Have an id for oneself while a session is started.

        Raises:
            SessionRunning: Another has it.
        """
        with self._lock:
            life, taken = self._lives.get(session_id), session_id in self._starting
            if life is None and not taken:
                self._starting.add(session_id)
        if taken or (life is not None and life.settled(RESTART)):
            raise SessionRunning(session_id, None if life is None else life.ref)
        if life is not None:  # it ended a moment ago
            with self.reserved(session_id):
                yield
            return
        try:
            yield
        finally:
            with self._lock:
                self._starting.discard(session_id)

    def add(self, life: SessionLife) -> None:
        """A session begins."""
        with self._lock:
            self._lives[life.session_id] = life

    def remove(self, life: SessionLife) -> None:
        """It has ended for good."""
        with self._lock:
            if self._lives.get(life.session_id) is life:
                del self._lives[life.session_id]

    def all(self) -> list[SessionLife]:
        """All of them."""
        with self._lock:
            return list(self._lives.values())

    def find(self, session: str | SessionRef) -> SessionLife | None:
        """That of an id or a ref."""
        return next((life for life in self.all() if session in (life.session_id, life.ref)), None)
