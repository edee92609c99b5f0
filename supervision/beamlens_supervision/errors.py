"""Every error this package raises.

    SupervisionError
    ├── InvalidChildSpec        (ValueError)    names field and value
    ├── InvalidSupervisorOption (ValueError)    names the option, its value and the choices
    ├── ChildStartError                       names the child, carries what its start raised
    ├── AlreadyStarted                        carries the running child's ref
    ├── AlreadyPresent                        the id is taken by a child that does not run
    ├── ChildNotFound         (LookupError)
    ├── ChildRunning                          has to be terminated first
    ├── ChildRestarting                       between two attempts to restart it
    ├── MaxChildren                           as many children as are allowed
    ├── NoPartitions          (LookupError)   a partitioned supervisor was shrunk to nothing
    ├── TaskTimeout           (TimeoutError)  no result in time
    └── TaskEnded                             it ended without a result; carries the exit reason
        └── TaskCancelled

The refusals are answers: the supervisor that refuses lives on.
"""

# ruff: noqa: N818 - the names are part of the public API and read as what happened
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from beamlens_actors.words import shown

if TYPE_CHECKING:
    from collections.abc import Hashable

    from beamlens_actors import ActorRef, ExitReason


_SHOWN = 200  # characters of a value in a message


def _shown(value: object) -> str:
    """`repr(value)`, which must not fail in place of what it is shown for, nor fill the log."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - anybody's __repr__
        return f"a {type(value).__qualname__} without a repr"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


class SupervisionError(Exception):
    """Base of every error of this package."""


class InvalidChildSpec(SupervisionError, ValueError):
    """A child spec, or a list of them, cannot be.

    Attributes:
        field: the field that is wrong (`spec` when the whole is no `ChildSpec`).
        value: what it holds.
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"invalid child spec: {field} must be {expected}, not {_shown(value)}")
        self.field = field
        self.value = value


class InvalidSupervisorOption(SupervisionError, ValueError):
    """A strategy, intensity or limit of a supervisor cannot be.

    Attributes:
        field: the option's name.
        value: what was given.
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field} must be {expected}, not {_shown(value)}")
        self.field = field
        self.value = value


class ChildStartError(SupervisionError):
    """A child could not be started.

    Attributes:
        child_id: its id.
        reason: what its start raised, also this error's `__cause__`.
    """

    def __init__(self, child_id: Hashable, reason: BaseException) -> None:
        super().__init__(f"child {child_id!r} could not be started: {shown(reason)}")
        self.child_id = child_id
        self.reason = reason


class AlreadyStarted(SupervisionError):
    """A child of this id is running.

    Attributes:
        ref: its ref.
    """

    def __init__(self, child_id: Hashable, ref: ActorRef[Any]) -> None:
        super().__init__(f"child {child_id!r} is running already, as {ref}")
        self.ref = ref


class AlreadyPresent(SupervisionError):
    """A child of this id is known and not running; restart it, or delete it first."""

    def __init__(self, child_id: Hashable) -> None:
        super().__init__(f"child {child_id!r} is known and not running; restart it, or delete it first")


class ChildNotFound(SupervisionError, LookupError):
    """There is no such child here."""

    def __init__(self, child: object) -> None:
        super().__init__(f"there is no child {child!r}")


class ChildRunning(SupervisionError):
    """The child runs; terminate it first."""

    def __init__(self, child_id: Hashable) -> None:
        super().__init__(f"child {child_id!r} is running; terminate it first")


class ChildRestarting(SupervisionError):
    """The child is being restarted; wait for it, or terminate it to cancel that."""

    def __init__(self, child_id: Hashable) -> None:
        super().__init__(f"child {child_id!r} is being restarted; terminate it to cancel that")


class MaxChildren(SupervisionError):
    """As many children run, or are being restarted, as `max_children` allows.

    Attributes:
        limit: that number.
    """

    def __init__(self, limit: float) -> None:
        super().__init__(f"there are {limit} children, as many as max_children allows")
        self.limit = limit


class NoPartitions(SupervisionError, LookupError):
    """A `PartitionSupervisor` that was resized to 0 has nowhere to route to."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has no partitions; resize it")


class TaskTimeout(SupervisionError, TimeoutError):
    """A task has no result yet. It runs on, and may be asked again."""


class TaskEnded(SupervisionError):
    """A task ended without a result: stopped, killed, or its supervisor ended.

    Attributes:
        reason: the exit reason.
    """

    def __init__(self, reason: ExitReason) -> None:
        super().__init__(f"the task ended without a result: {shown(reason)}")
        self.reason = reason


class TaskCancelled(TaskEnded):
    """`Task.cancel` was called."""
