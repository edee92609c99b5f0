"""What an `EventStream` says: how a push went, how the stream stands, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from beamlens_actors.errors import StreamCancelledError, StreamFailed
from beamlens_actors.reasons import Crash, ExitReason

if TYPE_CHECKING:
    from typing import NoReturn


class PushResult(StrEnum):
    """What became of a pushed event."""

    OK = "ok"
    """Taken; or, with `drop_newest` and a full stream, dropped and counted."""
    OVERFLOW = "overflow"
    """Refused: the stream is full and its policy is `reject`."""
    CANCELLED = "cancelled"
    """Refused: the stream has ended, in whatever way."""


class StreamStats(NamedTuple):
    """A stream at one moment: events in it, its limit, how many it ever dropped, the most it ever held.

    The terminal event counts until it is taken; what was handed to a waiting consumer does not.
    """

    size: int
    capacity: int
    dropped: int
    high_water: int


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """Terminal event: the stream is complete."""

    result: Any = None

    def value(self) -> Any:
        """The result."""
        return self.result


@dataclass(frozen=True, slots=True)
class StreamError:
    """Terminal event: its producer failed.

    Attributes:
        reason: what was given to `EventStream.error`, or `"task_crashed"` when the attached task ended early.
        partial: what the producer had by then, if anything.
        cause: with `"task_crashed"`, how that task ended, as far as that is known.
    """

    reason: Any
    partial: Any = None
    cause: ExitReason | None = None

    def value(self) -> NoReturn:
        """Raise `StreamFailed`, from the exception that ended the attached task if there is one."""
        error = StreamFailed(self.reason, self.partial, self.cause)
        raise error from (self.cause.exception if isinstance(self.cause, Crash) else None)


@dataclass(frozen=True, slots=True)
class StreamCancelled:
    """Terminal event: nobody wants the rest.

    Attributes:
        reason: what was given to `EventStream.cancel`; `"timeout"`, `"owner_down"` or `"lost_in_fork"` when
            it cancelled itself.
    """

    reason: Any

    def value(self) -> NoReturn:
        """Raise `StreamCancelledError`."""
        raise StreamCancelledError(self.reason)


StreamTerminal = StreamEnd | StreamError | StreamCancelled
