"""A supervisor's record of a child, what it shows of it, and how children are made to end."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from beamlens_actors import ActorRef, Killed, NoProcess, Shutdown, StopTimeout, clock
from beamlens_supervision.child_spec import Ignore

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from beamlens_actors import Down, ExitReason, Monitor
    from beamlens_supervision.child_spec import ChildSpec, ChildType

ChildState: TypeAlias = Literal["running", "restarting", "stopped"]

logger = logging.getLogger("beamlens_supervision")

_SHUTDOWN = Shutdown()

KILL_GRACE = 0.2
"""Seconds a killed child that was idle may spend in its `on_terminate`; then its thread is abandoned."""


class ChildInfo(NamedTuple):
    """A child at one moment, as `which_children` shows it; `ref` is `None` unless it is running."""

    id: Hashable
    ref: ActorRef[Any] | None
    type: ChildType
    state: ChildState


class ChildCounts(NamedTuple):
    """What `count_children` returns: all children, those running, and how many of all are which type."""

    specs: int
    active: int
    supervisors: int
    workers: int


@dataclass(eq=False, slots=True)
class Child:
    """A child as its supervisor knows it."""

    spec: ChildSpec
    ref: ActorRef[Any] | None = None
    """The last actor; it runs while `state` is `running`."""
    monitor: Monitor | None = None
    state: ChildState = "stopped"
    started_at: float = 0.0
    restarts: int = 0
    attempt: int = 0
    """Restarts tried since it last ran for long, for `backoff`."""

    @property
    def running(self) -> ActorRef[Any] | None:
        """Its ref while it runs."""
        return self.ref if self.state == "running" else None

    def delay(self) -> float:
        """Seconds to wait before the restart that `attempt` counts."""
        backoff = self.spec.backoff
        if not callable(backoff):
            return backoff or 0.0
        try:
            seconds = float(backoff(self.attempt))
        except BaseException:
            logger.exception("backoff of child %r failed; it is restarted at once", self.spec.id)
            return 0.0
        if not math.isfinite(seconds):
            logger.error("backoff of child %r gave %r; it is restarted at once", self.spec.id, seconds)
            return 0.0
        return max(0.0, seconds)

    def info(self) -> ChildInfo:
        """What others see of it."""
        return ChildInfo(self.spec.id, self.running, self.spec.type, self.state)


def ref_of(returned: object) -> ActorRef[Any] | None:
    """The ref in what a child's start returned, `None` for `Ignore`.

    Raises:
        TypeError: it is neither, nor a pair.
    """
    candidate = returned[0] if isinstance(returned, tuple) and len(returned) == 2 else returned
    if isinstance(candidate, ActorRef):
        return candidate
    if returned is Ignore or isinstance(returned, Ignore):
        return None
    raise TypeError(f"start must return a ref, a (ref, info) pair or Ignore, not {returned!r}")


def true_reason(down: Down) -> ExitReason:
    """The reason of a child's end, also of one that ended before it could be monitored: its ref knows it."""
    if not isinstance(down.reason, NoProcess):
        return down.reason
    try:
        return down.ref.join(KILL_GRACE)
    except StopTimeout:
        return down.reason


def count(children: Iterable[Child]) -> ChildCounts:
    """Count `children`."""
    known = list(children)
    active = sum(child.state == "running" for child in known)
    supervisors = sum(child.spec.type == "supervisor" for child in known)
    return ChildCounts(len(known), active, supervisors, len(known) - supervisors)


def end(ref: ActorRef[Any], timeout: float | None) -> ExitReason:
    """Ask `ref` to end, kill it after `timeout` seconds (`None`: never, 0: at once); returns its reason."""
    return end_all({ref: timeout})[ref]


def end_all(timeouts: dict[ActorRef[Any], float | None]) -> dict[ActorRef[Any], ExitReason]:
    """`end` for many at once: takes as long as the slowest, not the sum."""
    begin = clock.monotonic()
    killed_by = begin + KILL_GRACE
    for ref, timeout in timeouts.items():
        if timeout == 0:
            ref.kill()
        else:
            ref.stop(_SHUTDOWN, block=False)
    reasons: dict[ActorRef[Any], ExitReason] = {}
    # Those that are waited for longest come last, so that nobody outlives its own time because of them.
    for ref in sorted(timeouts, key=lambda ref: _longest_last(timeouts[ref])):
        timeout = timeouts[ref]
        reasons[ref] = _killed_end(ref, killed_by) if timeout == 0 else _asked_end(ref, timeout, begin)
    return reasons


def _longest_last(timeout: float | None) -> float:
    return math.inf if timeout is None else timeout


def _asked_end(ref: ActorRef[Any], timeout: float | None, begin: float) -> ExitReason:
    try:
        return ref.join(None if timeout is None else clock.remaining(begin + timeout))
    except StopTimeout:
        ref.kill()
        return _killed_end(ref, clock.monotonic() + KILL_GRACE)


def _killed_end(ref: ActorRef[Any], deadline: float) -> ExitReason:
    """A busy thread is dead at once; an idle one runs its `on_terminate`, and counts as busy meanwhile."""
    try:
        return ref.join(clock.remaining(deadline))
    except StopTimeout:
        ref.kill()
    try:
        return ref.join(KILL_GRACE)
    except StopTimeout:
        return Killed()
