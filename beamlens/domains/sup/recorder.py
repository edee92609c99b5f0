"""Hears what all supervisors do, in the supervisors: crashes as text, restarts, those who gave up."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from beamlens.domains.sup.kinship import Kinship
from beamlens.evidence import Place
from beamlens.probes.exceptions import ExceptionText, describe
from beamlens.probes.rates import Rates
from beamlens_actors import ActorRef, Crash, clock
from beamlens_supervision import (
    ChildEnded,
    ChildRestarted,
    ChildStarted,
    GaveUp,
    RestartFailed,
    SupervisionEvent,
    observe,
)

RESTARTED = "restarted"
_MOST_CRASHES = 500
_MOST_RESTARTS = 500
_MOST_GIVEN_UP = 50
_MOST_ID = 100


@dataclass(frozen=True, slots=True)
class Crashed:
    """A child crashed, or could not be started again.

    Attributes:
        at: Seconds since the epoch.
        supervisor: Its supervisor's name.
        branch: Where that stands in its tree.
        child: Its id.
        error: What it crashed with.
        own: Whether it is Beamlens's own.
        starting: It crashed at the attempt to restart it.
    """

    at: float
    supervisor: str
    branch: str
    child: str
    error: ExceptionText
    own: bool
    starting: bool = False

    @property
    def place(self) -> Place | None:
        """The line of the user's code that raised."""
        return self.error.place


@dataclass(frozen=True, slots=True)
class Resigned:
    """A supervisor gave up: it ended all of its children and itself."""

    at: float
    supervisor: str
    branch: str
    child: str
    max_restarts: int
    max_seconds: float
    own: bool


class Restarted(NamedTuple):
    """A child of such an id runs again; one and the same child has done so `times` times."""

    at: float
    branch: str
    child: str
    times: int


class SupRecorder:
    """Listens to the supervisors of this process; keeps text and numbers only."""

    def __init__(self, kinship: Kinship) -> None:
        self.since: float | None = None
        self.rates = Rates()
        self._kinship = kinship
        self._take_back: Callable[[], None] | None = None
        self._change = threading.Lock()
        self._crashes: deque[Crashed] = deque(maxlen=_MOST_CRASHES)
        self._restarts: deque[Restarted] = deque(maxlen=_MOST_RESTARTS)
        self._resigned: deque[Resigned] = deque(maxlen=_MOST_GIVEN_UP)

    def install(self) -> None:
        """Begin to listen."""
        with self._change:
            if self._take_back is None:
                self._take_back = observe(self._hear)
                self.since = clock.time()

    def uninstall(self) -> None:
        """Stop listening; what was recorded stays."""
        with self._change:
            if self._take_back is not None:
                self._take_back()
            self._take_back = self.since = None

    def _hear(self, event: SupervisionEvent) -> None:
        """In the supervisor, which waits for it: some microseconds, no lock, no message."""
        supervisor, child = event.supervisor, _text(event.child_id)
        match event:
            case ChildStarted(ref=ref):
                self._kinship.born(ref, supervisor, child)
            case ChildRestarted(ref=ref, restarts=times):
                self._kinship.born(ref, supervisor, child)
                self._restarts.append(Restarted(clock.time(), self._kinship.branch(supervisor), child, times))
                self.rates.add((RESTARTED, self._kinship.is_own(supervisor)))
            case ChildEnded(reason=Crash(exception=error)):
                self._crashed(supervisor, child, error)
            case RestartFailed(error=error):
                self._crashed(supervisor, child, error, starting=True)
            case GaveUp(max_restarts=most, max_seconds=seconds):
                own, branch = self._kinship.is_own(supervisor), self._kinship.branch(supervisor)
                self._resigned.append(Resigned(clock.time(), supervisor.name, branch, child, most, seconds, own))

    def _crashed(self, supervisor: ActorRef[Any], child: str, error: BaseException, *, starting: bool = False) -> None:
        own, branch = self._kinship.is_own(supervisor), self._kinship.branch(supervisor)
        self._crashes.append(Crashed(clock.time(), supervisor.name, branch, child, describe(error), own, starting))

    def crashes(self, seconds: float | None = None) -> list[Crashed]:
        """The latest, newest first; at most 500."""
        oldest = float("-inf") if seconds is None else clock.time() - seconds
        return [one for one in reversed(self._crashes.copy()) if one.at >= oldest]

    def restarts(self, seconds: float) -> list[Restarted]:
        """The latest, newest first; at most 500."""
        oldest = clock.time() - seconds
        return [one for one in reversed(self._restarts.copy()) if one.at >= oldest]

    def resigned(self, seconds: float | None = None) -> list[Resigned]:
        """Supervisors that gave up, newest first; at most 50."""
        oldest = float("-inf") if seconds is None else clock.time() - seconds
        return [one for one in reversed(self._resigned.copy()) if one.at >= oldest]


def _text(child_id: object) -> str:
    """An id as text: it may be any object of the host's."""
    try:
        return str(child_id)[:_MOST_ID]
    except Exception:  # noqa: BLE001 - the host's __str__
        return f"<{type(child_id).__name__}>"
