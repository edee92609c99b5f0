"""What a supervisor tells its `on_event`, so that a layer above can turn it into telemetry."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from beamlens_actors import ActorRef, ExitReason


@dataclass(frozen=True, slots=True)
class SupervisionEvent:
    """Base of the events.

    Attributes:
        supervisor: the supervisor's ref.
        child_id: the child's id.
    """

    supervisor: ActorRef[Any]
    child_id: Hashable


@dataclass(frozen=True, slots=True)
class ChildStarted(SupervisionEvent):
    """A child runs for the first time, or again on request. `ref` is its ref."""

    ref: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class ChildEnded(SupervisionEvent):
    """A child ended, by itself or stopped by its supervisor. `ref` was its ref, `reason` its exit reason."""

    ref: ActorRef[Any]
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class ChildRestarted(SupervisionEvent):
    """A child that had ended runs again as `ref`; `restarts` counts how often that happened to it."""

    ref: ActorRef[Any]
    restarts: int


@dataclass(frozen=True, slots=True)
class GaveUp(SupervisionEvent):
    """One restart too many was due, that of `child_id`: the supervisor stops its children and ends."""

    max_restarts: int
    max_seconds: float


OnEvent: TypeAlias = Callable[[SupervisionEvent], object]
"""Called in the supervisor, so it must be short; what it raises is logged."""
