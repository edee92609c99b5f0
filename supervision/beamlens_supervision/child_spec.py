"""`ChildSpec`: how a child is started, restarted and stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from beamlens_actors import ActorRef, Crash, ExitReason, Killed, NoProcess
from beamlens_supervision.errors import InvalidChildSpec

Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
ChildType: TypeAlias = Literal["worker", "supervisor"]
Shutdown: TypeAlias = "float | Literal['brutal_kill'] | None"
Backoff: TypeAlias = "float | Callable[[int], float] | None"

WORKER_SHUTDOWN = 5.0
"""Seconds a worker is given to end when its spec does not say."""


class Ignore:
    """What a child's `start` returns when there is nothing to run: the class or an instance of it."""


@dataclass(frozen=True)
class ChildSpec:
    """How one child is started, restarted and stopped. Checked when made.

    Attributes:
        id: its name under its supervisor, hashable.
        start: called with `args` and `kwargs` in the supervisor; returns the ref of an actor that is ready, a
            `(ref, info)` pair, or `Ignore`.
        restart: `permanent` is restarted whatever the reason of its end, `transient` unless that is
            `Normal` or `Shutdown`, `temporary` never (and its spec is forgotten).
        shutdown: seconds it may take to end when asked before it is killed; `"brutal_kill"` does not ask;
            `math.inf` waits for ever; `None` is 5 s for a worker, for ever for a supervisor.
        type: for display and counts.
        significant: its end may end the supervisor; see `auto_shutdown` of `Supervisor`.
        backoff: seconds to wait before a restart, or a function from the attempt (1, 2, ...) to them.
            Attempts count from 1 again once it ran for as long as the supervisor's `max_seconds`.

    Raises:
        InvalidChildSpec: naming field and value.
    """

    id: Hashable
    start: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    restart: Restart = "permanent"
    shutdown: Shutdown = None
    type: ChildType = "worker"
    significant: bool = False
    backoff: Backoff = None

    def __post_init__(self) -> None:
        _require(self.id is not None and isinstance(self.id, Hashable), "id", self.id, "hashable and not None")
        _require(callable(self.start), "start", self.start, "callable")
        _require(isinstance(self.args, tuple), "args", self.args, "a tuple")
        _require(isinstance(self.kwargs, Mapping), "kwargs", self.kwargs, "a mapping")
        _require_choice("restart", self.restart, get_args(Restart))
        _require_choice("type", self.type, get_args(ChildType))
        expected = 'None, "brutal_kill", math.inf or a number of seconds that is not negative'
        _require(_is_shutdown(self.shutdown), "shutdown", self.shutdown, expected)
        _require(isinstance(self.significant, bool), "significant", self.significant, "True or False")
        allowed = not (self.significant and self.restart == "permanent")
        _require(allowed, "significant", self.significant, "False for a permanent child, which never ends for good")
        expected = "None, a finite number of seconds that is not negative, or a function of the attempt"
        _require(_is_backoff(self.backoff), "backoff", self.backoff, expected)

    @property
    def shutdown_timeout(self) -> float | None:
        """Seconds it may take to end, `None` for ever, 0 for a brutal kill."""
        if self.shutdown is None:
            return None if self.type == "supervisor" else WORKER_SHUTDOWN
        if self.shutdown == "brutal_kill":
            return 0.0
        return None if math.isinf(self.shutdown) else self.shutdown

    def wants_restart(self, reason: ExitReason) -> bool:
        """Whether a child of this spec that ended for `reason` is to be started again."""
        if self.restart == "transient":
            return is_abnormal(reason)
        return self.restart == "permanent"


def is_abnormal(reason: ExitReason) -> bool:
    """Whether `reason` is neither a normal end nor a shutdown."""
    return isinstance(reason, Crash | Killed | NoProcess)


def check_child_specs(specs: Iterable[ChildSpec]) -> None:
    """Check what would be given to a supervisor, without starting anything.

    Raises:
        InvalidChildSpec: something is no `ChildSpec`, or two have the same id.
    """
    seen: set[Hashable] = set()
    for spec in specs:
        check_child_spec(spec)
        if spec.id in seen:
            raise InvalidChildSpec("id", spec.id, "given once in a list")
        seen.add(spec.id)


def check_child_spec(spec: object) -> None:
    """Refuse what is no `ChildSpec`.

    Raises:
        InvalidChildSpec: with a hint when it is an actor class or a running actor.
    """
    if isinstance(spec, ChildSpec):
        return
    hint = ""
    if isinstance(spec, type) and hasattr(spec, "start"):
        hint = f', as in ChildSpec("{spec.__name__.lower()}", {spec.__name__}.start)'
    elif isinstance(spec, ActorRef):
        hint = ", whose start makes the actor; this one runs already"
    raise InvalidChildSpec("spec", spec, f"a ChildSpec{hint}")


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise InvalidChildSpec(name, value, expected)


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    _require(isinstance(value, str) and value in choices, name, value, f"one of {', '.join(choices)}")


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_shutdown(value: object) -> bool:
    return value is None or value == "brutal_kill" or _is_seconds(value)


def _is_backoff(value: object) -> bool:
    return value is None or callable(value) or (_is_seconds(value) and value != math.inf)
