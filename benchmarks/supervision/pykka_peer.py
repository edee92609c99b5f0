"""What one writes by hand on Pykka: a failing child tells its supervisor, which starts another one.

It knows no orders, reasons, limits or times; its figures are what supervision costs at least.
"""

from __future__ import annotations

from importlib.metadata import version
from queue import SimpleQueue
from time import perf_counter
from typing import Any

import pykka

from benchmarks.actors import pykka_peer
from benchmarks.actors.measures import Finding, choose, rate
from benchmarks.supervision.measures import BATCH, reports, sizes, timed


class _Actor(pykka.ThreadingActor):
    use_daemon_thread = True

    def on_receive(self, message: Any) -> Any:
        return message


class _Victim(_Actor):
    def __init__(self, begun: SimpleQueue[Any], sup: pykka.ActorRef[Any]) -> None:
        super().__init__()
        self.begun = begun
        self.sup = sup

    def on_start(self) -> None:
        self.begun.put(self.actor_ref)

    def on_receive(self, message: Any) -> Any:  # noqa: ARG002
        raise RuntimeError("meant")

    def on_failure(self, *_error: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.sup.tell("failed")


class _Naive(_Actor):
    def __init__(self, begun: SimpleQueue[Any]) -> None:
        super().__init__()
        self.begun = begun

    def on_receive(self, message: Any) -> Any:  # noqa: ARG002
        _Victim.start(self.begun, self.actor_ref)


class _Parent(_Actor):
    """Has as many children as it is asked for."""

    children: tuple[pykka.ActorRef[Any], ...] = ()

    def on_receive(self, message: int) -> Any:
        self.children += tuple(_Actor.start() for _ in range(message))

    def on_stop(self) -> None:
        for child in reversed(self.children):
            child.stop()


class Naive:
    """See `Peer`."""

    def __init__(self) -> None:
        self.version = version("pykka")
        self._table = {
            "restart": self._restart,
            "restart-logged": self._restart_logged,
            "storm": self._storm,
            "tasks": self._tasks,
            "children": self._children,
        }

    def measure(self, name: str, count: int) -> Finding:
        """See `Peer.measure`."""
        return choose(self._table, name)(count)

    def close(self) -> None:
        """See `Peer.close`."""
        pykka.ActorRegistry.stop_all()

    def _restart(self, count: int) -> Finding:
        return pykka_peer.connect("").measure("restart", count)

    def _restart_logged(self, count: int) -> Finding:
        with reports():
            found = self._restart(count).values
        return Finding({key.replace("restart", "restart-logged"): value for key, value in found.items()})

    def _storm(self, count: int) -> Finding:
        begun: SimpleQueue[Any] = SimpleQueue()
        sup = _Naive.start(begun)
        for _ in range(BATCH):
            sup.tell("start")
        took = 0.0
        for _ in range(count // BATCH):
            victims = [begun.get() for _ in range(BATCH)]
            began = perf_counter()
            for victim in victims:
                victim.tell("crash")
            restarted = [begun.get() for _ in range(BATCH)]
            took += perf_counter() - began
            for victim in restarted:
                begun.put(victim)
        return rate("storm", count // BATCH * BATCH, took)

    def _tasks(self, count: int) -> Finding:
        def work() -> None:
            for number in range(count):
                task = _Actor.start()
                task.ask(number)
                task.stop()

        return rate("tasks", count, timed(work))

    def _children(self, largest: int) -> Finding:
        def once(size: int) -> tuple[float, float]:
            sup = _Parent.start()
            return timed(lambda: sup.ask(size)), timed(sup.stop)

        return sizes("children", largest, once)


def connect(_kind: str) -> Naive:
    """The peer."""
    return Naive()
