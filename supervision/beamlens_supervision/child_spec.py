"""`ChildSpec`: how a child is started, restarted and stopped."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

from beamlens_actors import ActorRef, Crash, ExitReason, Killed, NoProcess
from beamlens_supervision.errors import InvalidChildSpec
from beamlens_supervision.options import is_seconds

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
        backoff: seconds to wait before a restart, or a function from the attempt (1, 2, ...) to them, such as
            a `Backoff`. Attempts count from 1 again once it ran for as long as the supervisor's `max_seconds`.

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
        _require(self.id is not None and is_hashable(self.id), "id", self.id, "hashable and not None")
        _require(callable(self.start), "start", self.start, "callable")
        _require(isinstance(self.args, tuple), "args", self.args, "a tuple")
        _require(_is_kwargs(self.kwargs), "kwargs", self.kwargs, "a mapping with strings as keys")
        _require_choice("restart", self.restart, get_args(Restart))
        _require_choice("type", self.type, get_args(ChildType))
        check_shutdown(self.shutdown)
        _require(isinstance(self.significant, bool), "significant", self.significant, "True or False")
        allowed = not (self.significant and self.restart == "permanent")
        _require(allowed, "significant", self.significant, "False for a permanent child, which never ends for good")
        expected = "None, a finite number of seconds that is not negative, or a function of the attempt"
        _require(_is_backoff(self.backoff), "backoff", self.backoff, expected)

    @property
    def shutdown_timeout(self) -> float | None:
        """Seconds it may take to end, `None` for ever, 0 for a brutal kill."""
        return shutdown_timeout(self.shutdown, self.type)

    def without_arguments(self) -> ChildSpec:
        """This spec as it is kept for a temporary child, which will not need its arguments again."""
        if not self.args and not self.kwargs:
            return self
        kept = copy.copy(self)
        object.__setattr__(kept, "args", ())
        object.__setattr__(kept, "kwargs", {})
        return kept

    def wants_restart(self, reason: ExitReason) -> bool:
        """Whether a child of this spec that ended for `reason` is to be started again."""
        if self.restart == "transient":
            return is_abnormal(reason)
        return self.restart == "permanent"


def shutdown_timeout(shutdown: Shutdown, type: ChildType = "worker") -> float | None:  # noqa: A002 - as in ChildSpec
    """The seconds that the `shutdown` of a spec stands for, `None` for ever, 0 for a brutal kill."""
    if shutdown is None:
        return None if type == "supervisor" else WORKER_SHUTDOWN
    if shutdown == "brutal_kill":
        return 0.0
    return None if math.isinf(shutdown) else shutdown


def check_shutdown(shutdown: object) -> None:
    """Refuse what says nothing of how long a child may take to end.

    Raises:
        InvalidChildSpec: naming the value and what it may be.
    """
    expected = 'None, "brutal_kill", math.inf or a number of seconds that is not negative'
    _require(_is_shutdown(shutdown), "shutdown", shutdown, expected)


def is_abnormal(reason: ExitReason) -> bool:
    """Whether `reason` is neither a normal end nor a shutdown."""
    return isinstance(reason, Crash | Killed | NoProcess)


def child_spec(target: Any, *args: Any, **overrides: Any) -> ChildSpec:
    """The spec of something that knows its own, with some fields of it changed.

        class Store(Actor):
            @classmethod
            def child_spec(cls, path="store.db"):
                return ChildSpec("store", cls.start, (path,))

        Supervisor.start([child_spec(Store), child_spec(Store, "b.db", id="second", restart="transient")])

    Args:
        target: a `ChildSpec`, or what has a method `child_spec` that returns one, as all supervisors have.
        args: for that method.
        overrides: fields of `ChildSpec`.

    Raises:
        InvalidChildSpec: `target` has no such method (with a hint for an actor class), or it returns something
            else; or a field is wrong.
        TypeError: there is no field of that name.
    """
    if isinstance(target, ChildSpec):
        return replace(target, **overrides)
    hook = getattr(target, "child_spec", None)
    if not callable(hook):
        expected = "a ChildSpec, or something with a method child_spec() that returns one"
        raise InvalidChildSpec("spec", target, expected + _hint(target))
    made = hook(*args)
    if not isinstance(made, ChildSpec):
        name = getattr(target, "__qualname__", type(target).__qualname__)
        raise InvalidChildSpec(f"what {name}.child_spec returns", made, "a ChildSpec")
    return replace(made, **overrides)


def check_child_specs(specs: Iterable[ChildSpec]) -> None:
    """Check what would be given to a supervisor, without starting anything.

    Raises:
        InvalidChildSpec: it is no collection, something in it is no `ChildSpec`, or two have the same id.
    """
    _require(isinstance(specs, Iterable), "specs", specs, "a collection of ChildSpec")
    seen: set[Hashable] = set()
    for spec in specs:
        check_child_spec(spec)
        if spec.id in seen:
            raise InvalidChildSpec("id", spec.id, "given once in a list")
        seen.add(spec.id)


def collect_specs(specs: Iterable[ChildSpec]) -> tuple[ChildSpec, ...]:
    """`specs`, which may be a generator, checked.

    Raises:
        InvalidChildSpec: see `check_child_specs`.
    """
    _require(isinstance(specs, Iterable), "specs", specs, "a collection of ChildSpec")
    collected = tuple(specs)
    check_child_specs(collected)
    return collected


def check_child_spec(spec: object) -> None:
    """Refuse what is no `ChildSpec`.

    Raises:
        InvalidChildSpec: with a hint when it is an actor class or a running actor.
    """
    if isinstance(spec, ChildSpec):
        return
    raise InvalidChildSpec("spec", spec, f"a ChildSpec{_hint(spec)}")


def refuse_significant(spec: ChildSpec, where: str) -> None:
    """Refuse a significant child `where` there can be none.

    Raises:
        InvalidChildSpec: it is one.
    """
    _require(not spec.significant, "significant", spec.significant, f"False {where}")


def _hint(spec: object) -> str:
    if isinstance(spec, type) and hasattr(spec, "start"):
        return f', as in ChildSpec("{spec.__name__.lower()}", {spec.__name__}.start)'
    if isinstance(spec, ActorRef):
        return ", whose start makes the actor; this one runs already"
    return ""


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise InvalidChildSpec(name, value, expected)


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    _require(isinstance(value, str) and value in choices, name, value, f"one of {', '.join(choices)}")


def is_hashable(value: object) -> bool:
    """Whether `value` can be a key: a tuple that holds a list says it can, and cannot."""
    try:
        hash(value)
    except Exception:  # noqa: BLE001 - anybody's __hash__
        return False
    return True


def _is_kwargs(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _is_shutdown(value: object) -> bool:
    return value is None or value == "brutal_kill" or is_seconds(value)


def _is_backoff(value: object) -> bool:
    return value is None or callable(value) or (is_seconds(value) and value != math.inf)
