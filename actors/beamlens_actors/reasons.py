"""Exit reasons: why an actor ended. Frozen dataclasses, always passed as instances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from beamlens_actors.words import shown


@dataclass(frozen=True, slots=True)
class ExitReason:
    """Base of every exit reason. Users do not make new kinds; `Shutdown(detail)` carries theirs."""


@dataclass(frozen=True, slots=True)
class Normal(ExitReason):
    """The actor did what it was there for. Links do not spread it."""


@dataclass(frozen=True, slots=True)
class Shutdown(ExitReason):
    """The actor was asked to end, usually by its supervisor. Expected, so nothing restarts for it."""

    detail: Any = None


@dataclass(frozen=True, slots=True)
class Killed(ExitReason):
    """The actor was ended by `ActorRef.kill`, without being asked."""


@dataclass(frozen=True, slots=True)
class Crash(ExitReason):
    """A handler or `on_start` raised `exception`, or a linked actor ended that way."""

    exception: BaseException

    def __repr__(self) -> str:
        return f"Crash(exception={shown(self.exception)})"


@dataclass(frozen=True, slots=True)
class NoProcess(ExitReason):
    """The actor had ended already when it was monitored or linked."""


def check_reason(reason: object) -> ExitReason:
    """Return `reason`, refusing what is not an instance of an exit reason.

    Raises:
        TypeError: with what was passed, and a hint when it is a class.
    """
    if not isinstance(reason, ExitReason):
        hint = f"; pass an instance: {reason.__name__}()" if isinstance(reason, type) else ""
        raise TypeError(f"an exit reason is one of Normal, Shutdown, Killed, Crash, NoProcess, not {reason!r}{hint}")
    return reason
