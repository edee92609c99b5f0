from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from beamlens_actors import Actor, ActorRef, ExitReason, Normal, Shutdown, offload
from beamlens_supervision import ChildSpec, SupervisionEvent

LIMIT = 10.0
"""Seconds that nothing here should ever take."""


class Boom(Exception):
    """What workers crash with."""


class Worker(Actor):
    """Does as told and writes its starts and ends into `log`."""

    def __init__(self, name: str = "w", log: list[Any] | None = None) -> None:
        super().__init__()
        self.name = name
        self.log = [] if log is None else log

    def on_start(self) -> None:
        self.log.append(f"+{self.name}")

    def on_receive(self, message: Any) -> Any:
        match message:
            case "crash":
                raise Boom(self.name)
            case ("stop", reason):
                self.stop(reason)
            case ("wait", entered, event):
                entered.set()
                offload(event.wait, LIMIT)
            case ("do", fn):
                return fn(self)
        return self.name

    def on_terminate(self, reason: ExitReason) -> None:
        self.log.append(f"-{self.name}")


class Flaky:
    """A start callable that fails as often as told, and counts its calls."""

    def __init__(self, failures: int, *, after: int = 0) -> None:
        self.failures = failures
        self.after = after
        self.calls = 0

    def __call__(self, name: str = "flaky", log: list[Any] | None = None) -> ActorRef[Worker]:
        self.calls += 1
        if self.after < self.calls <= self.after + self.failures:
            raise Boom(f"start {self.calls}")
        return Worker.start(name, log)


class Events:
    """An `on_event` to wait on; it can hold its supervisor at events of one kind until a gate opens."""

    def __init__(self, hold_at: type[SupervisionEvent] | None = None, gate: threading.Event | None = None) -> None:
        self._hold_at = hold_at
        self._gate = gate
        self.all: list[SupervisionEvent] = []
        self._queue: queue.Queue[SupervisionEvent] = queue.Queue()

    def __call__(self, event: SupervisionEvent) -> None:
        self.all.append(event)
        self._queue.put(event)
        if self._gate is not None and self._hold_at is not None and isinstance(event, self._hold_at):
            offload(self._gate.wait, LIMIT)

    def wait_for(self, kind: type[SupervisionEvent]) -> SupervisionEvent:
        while not isinstance(event := self._queue.get(timeout=LIMIT), kind):
            pass
        return event

    def wait_for_child(self, child_id: Any, kind: type[SupervisionEvent]) -> SupervisionEvent:
        while (event := self.wait_for(kind)).child_id != child_id:
            pass
        return event


def worker(name: str, log: list[Any] | None = None, **options: Any) -> ChildSpec:
    return ChildSpec(name, Worker.start, (name, log), **options)


def crash(ref: ActorRef[Any] | None) -> None:
    """Crash an actor; when this returns, its supervisor has its `Down` before anything that is asked next."""
    assert ref is not None
    ref.tell("crash")
    ref.join(LIMIT)


def end(ref: ActorRef[Any] | None, reason: ExitReason) -> None:
    assert ref is not None
    ref.stop(reason, timeout=LIMIT)


def hang(ref: ActorRef[Any] | None, gate: threading.Event) -> None:
    """Keep an actor busy until `gate` opens."""
    assert ref is not None
    entered = threading.Event()
    ref.tell(("wait", entered, gate))
    assert entered.wait(LIMIT)


def states(children: list[Any]) -> dict[Any, str]:
    return {info.id: info.state for info in children}


def refs(children: list[Any]) -> dict[Any, Any]:
    return {info.id: info.ref for info in children}


def left_on(backend: str, count: int) -> int:
    """How many abandoned threads so many busy, killed actors leave: a greenlet is unwound, a thread cannot be."""
    return count if backend == "threads" else 0


def kill(ref: Any, gate: threading.Event) -> None:
    hang(ref, gate)
    ref.kill()
    ref.join(LIMIT)


ENDS: dict[str, Callable[[Any, threading.Event], None]] = {
    "normal": lambda ref, _gate: end(ref, Normal()),
    "shutdown": lambda ref, _gate: end(ref, Shutdown()),
    "shutdown with detail": lambda ref, _gate: end(ref, Shutdown("detail")),
    "crash": lambda ref, _gate: crash(ref),
    "killed": kill,
}
