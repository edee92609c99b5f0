"""What a supervisor tells its `on_event`, so that a layer above can turn it into telemetry."""

from __future__ import annotations

import os
import threading
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
class RestartFailed(SupervisionEvent):
    """An attempt to restart a child failed with `error`; another one follows, or the supervisor gives up."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class GaveUp(SupervisionEvent):
    """One restart too many was due, that of `child_id`: the supervisor stops its children and ends."""

    max_restarts: int
    max_seconds: float


OnEvent: TypeAlias = Callable[[SupervisionEvent], object]
"""Called in the supervisor, so it must be short; what it raises is logged."""

_observers: tuple[OnEvent, ...] = ()
_change = threading.Lock()


def observe(observer: OnEvent) -> Callable[[], None]:
    """Have `observer` called with the events of every supervisor of this process; those of tasks left out.

    Like `on_event` it is called in the supervisor, so it must be short, and what it raises is logged.

    Returns:
        a function that takes it back.
    """
    global _observers
    with _change:
        _observers = (*_observers, observer)
    return lambda: _unobserve(observer)


def _unobserve(observer: OnEvent) -> None:
    global _observers
    with _change:
        _observers = tuple(other for other in _observers if other is not observer)


def observers() -> tuple[OnEvent, ...]:
    """Those that `observe` was given."""
    return _observers


def _after_fork() -> None:
    global _observers, _change
    _change = threading.Lock()
    _observers = ()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
