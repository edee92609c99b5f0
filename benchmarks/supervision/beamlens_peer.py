"""Beamlens' supervisors, on either backend."""

from __future__ import annotations

from queue import SimpleQueue
from time import perf_counter
from typing import Any

import beamlens_actors
from beamlens_supervision import ChildSpec, DynamicSupervisor, Supervisor, SupervisorRef, TaskSupervisor
from benchmarks.actors.beamlens_peer import check_backend
from benchmarks.actors.measures import Finding, choose, percentiles, rate
from benchmarks.supervision.measures import ALLOWED, BATCH, reports, sizes, timed

_Begun = SimpleQueue[tuple[float, beamlens_actors.ActorRef[Any]]]


class _Victim(beamlens_actors.Actor):
    """Says when it starts, and crashes on any message."""

    def __init__(self, begun: _Begun) -> None:
        super().__init__()
        self.begun = begun

    def on_start(self) -> None:
        self.begun.put((perf_counter(), self.actor_ref))

    def on_receive(self, message: Any) -> Any:  # noqa: ARG002
        raise RuntimeError("meant")


class _Idle(beamlens_actors.Actor):
    """Waits; has an `on_start` so that its start is waited for, as OTP's is."""

    def on_start(self) -> None:
        pass


class Beamlens:
    """See `Peer`."""

    def __init__(self, backend: str, version: str) -> None:
        self.version = version
        self._backend = backend
        self._table = {
            "restart": lambda count: self._restart("restart", count),
            "restart-logged": self._restart_logged,
            "storm": self._storm,
            "tasks": self._tasks,
            "children": self._children,
            "dynamic": self._dynamic,
        }

    def measure(self, name: str, count: int) -> Finding:
        """See `Peer.measure`."""
        return choose(self._table, name)(count)

    def close(self) -> None:
        """See `Peer.close`."""

    def _supervisor(self, specs: list[ChildSpec]) -> Any:
        return Supervisor.options(backend=self._backend, start_timeout=None).start(specs, max_restarts=ALLOWED)

    def _victims(self, count: int) -> tuple[SupervisorRef, _Begun]:
        begun: _Begun = SimpleQueue()
        return self._supervisor([ChildSpec(number, _Victim.start, (begun,)) for number in range(count)]), begun

    def _restart_logged(self, count: int) -> Finding:
        with reports():
            return self._restart("restart-logged", count)

    def _restart(self, name: str, count: int) -> Finding:
        samples: list[float] = []
        while len(samples) < count:
            sup, begun = self._victims(1)
            _, victim = begun.get()
            for _ in range(BATCH):
                crashed = perf_counter()
                victim.tell("crash")
                restarted, victim = begun.get()
                samples.append(restarted - crashed)
            sup.stop()
        return percentiles(name, samples)

    def _storm(self, count: int) -> Finding:
        took = 0.0
        for _ in range(-(-count // (10 * BATCH))):
            sup, begun = self._victims(BATCH)
            for _ in range(10):
                victims = [begun.get()[1] for _ in range(BATCH)]
                began = perf_counter()
                for victim in victims:
                    victim.tell("crash")
                restarted = [begun.get() for _ in range(BATCH)]
                took += perf_counter() - began
                for each in restarted:
                    begun.put(each)
            sup.stop()
        return rate("storm", -(-count // (10 * BATCH)) * 10 * BATCH, took)

    def _tasks(self, count: int) -> Finding:
        sup = TaskSupervisor.start(backend=self._backend)

        def work() -> None:
            for number in range(count):
                sup.run(abs, number).result()

        took = timed(work)
        sup.stop()
        return rate("tasks", count, took)

    def _children(self, largest: int) -> Finding:
        def once(size: int) -> tuple[float, float]:
            specs = [ChildSpec(number, _Idle.start) for number in range(size)]
            began = perf_counter()
            sup = self._supervisor(specs)
            return perf_counter() - began, timed(sup.stop)

        return sizes("children", largest, once)

    def _dynamic(self, largest: int) -> Finding:
        def once(size: int) -> tuple[float, float]:
            sup: Any = DynamicSupervisor.options(backend=self._backend).start()
            spec = ChildSpec("idle", _Idle.start)

            def start() -> None:
                for _ in range(size):
                    sup.start_child(spec)

            return timed(start), timed(sup.stop)

        return sizes("dynamic", largest, once)


def connect(kind: str) -> Beamlens:
    """The peer on the backend `kind`.

    Raises:
        MissingError: there is no such backend.
    """
    return Beamlens(kind, check_backend(kind))
