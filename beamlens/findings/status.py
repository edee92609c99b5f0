"""What an agent answers when asked how it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Health = Literal["healthy", "observing", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """The message that asks for an `AgentStatus`: ``registry.lookup("runtime").ask(status)``."""


status = StatusRequest()


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """An agent at one moment.

    Attributes:
        name: Its name, such as ``"runtime"``.
        kind: ``watcher``, ``operator`` or ``coordinator``.
        state: Its health: ``healthy``, ``observing``, ``warning`` or ``critical``.
        iteration: Turns of the run in progress, else of the last one.
        running: Whether a run is in progress.
        runs: Runs that have ended.
        alerts: Alerts that it fired since it started.
        active_sensors: Names of the sensors that are active now.
        stopped_by: What ended the last run: a tool's name or a limit; ``""`` before the first one ended.
        model: Who answered last; ``"offline"`` for the offline analyst.
        wait_seconds: Seconds until the next look, ``None`` when none is planned.
        queued: Runs that wait for their turn.
    """

    name: str
    kind: Literal["watcher", "operator", "coordinator"]
    state: Health = "healthy"
    iteration: int = 0
    running: bool = False
    runs: int = 0
    alerts: int = 0
    active_sensors: tuple[str, ...] = ()
    stopped_by: str = ""
    model: str = ""
    wait_seconds: float | None = None
    queued: int = 0
