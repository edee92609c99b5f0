"""What actors are told by the library itself, and what a mailbox holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from beamlens_actors.future import Future
    from beamlens_actors.reasons import ExitReason
    from beamlens_actors.ref import ActorRef

Envelope: TypeAlias = "tuple[Any, Future[Any] | None]"
"""A message and where its answer goes (`None`.

It was told). A plain tuple: a third of the cost of a class.
"""


class Monitor:
    """Handle of one monitor, made by `Actor.monitor`. Compared by identity."""

    __slots__ = ("ref",)

    def __init__(self, ref: ActorRef[Any]) -> None:
        self.ref = ref

    def __repr__(self) -> str:
        return f"<Monitor of {self.ref.name}>"


@dataclass(frozen=True, slots=True)
class Down:
    """A monitored actor ended; delivered to `on_down` after its `on_terminate` ended."""

    ref: ActorRef[Any]
    reason: ExitReason
    monitor: Monitor


@dataclass(frozen=True, slots=True)
class Exit:
    """An exit signal that a trapping actor received; `ref` is who sent it, `None` for a plain thread."""

    ref: ActorRef[Any] | None
    reason: ExitReason
