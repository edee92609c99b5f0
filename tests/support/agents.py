"""Parts that tests of agents need: services over real supervisors, recorded events, a small domain."""

from __future__ import annotations

import threading
from contextlib import contextmanager

from beamlens.agent import PromptLog, Services
from beamlens.domains import Domain, callback
from beamlens.llm.offline import OfflineAnalyst
from beamlens.metrics import Metric
from beamlens.redact import Redactor
from beamlens.telemetry import Bus
from beamlens_actors import clock
from beamlens_supervision import TaskSupervisor


class Events:
    """A bus listener that records and can be waited on."""

    def __init__(self):
        self.all = []
        self._changed = threading.Condition()

    def listen(self, name, sender, measurements, metadata):
        with self._changed:
            self.all.append((name, sender, dict(measurements), dict(metadata)))
            self._changed.notify_all()

    def names(self):
        return [name for name, *_ in self.all]

    def of(self, name):
        return [metadata for each, _, _, metadata in list(self.all) if each == name]

    def wait_for(self, name, count=1, timeout=10.0, **metadata):
        def found():
            return [m for m in self.of(name) if all(m.get(k) == v for k, v in metadata.items())]

        with self._changed:
            if not clock.wait_until(self._changed, lambda: len(found()) >= count, timeout):
                seen = sorted(set(self.names()))
                raise TimeoutError(f"{len(found())} of {count} {name} {metadata}; there were {seen}")
            return found()

    def pass_time(self, clock, seconds=0.25):
        """Let a little fake time go on, and those whom it woke go on in real time, until nothing happens for 20 ms."""
        clock.advance(seconds)
        with self._changed:
            while self._changed.wait(0.02):
                pass


@contextmanager
def services(client, **options):
    """Services over two task supervisors, and their events."""
    bus = Bus("test")
    events = Events()
    bus.listen(events.listen)
    bus.start()
    loops, tools = TaskSupervisor.start(name="loops"), TaskSupervisor.start(name="tools")
    values = {
        "instance": "test",
        "node": "node",
        "bus": bus,
        "loop_tasks": lambda: loops,
        "tool_tasks": lambda: tools,
        "client": client,
        "offline": OfflineAnalyst(),
        "redactor": Redactor(),
        "prompts": PromptLog(),
        "llm_timeout": 5.0,
        **options,
    }
    try:
        yield Services(**values), events
    finally:
        loops.stop()
        tools.stop()
        bus.close()


class Queue(Domain):
    """A queue that tests fill."""

    name = "queue"
    title = "Test queue"
    metrics = (Metric("depth", unit="orders", high=100, critical=500),)

    def __init__(self):
        self.depth = 1
        self.failing = None
        self.reads = threading.Semaphore(0)

    def pass_second(self, clock):
        """Let fake time go on until the sensors have read once more."""
        while self.reads.acquire(blocking=False):
            pass
        clock.advance(1.0)
        while not self.reads.acquire(timeout=0.05):
            clock.advance(0.1)

    def snapshot(self):
        self.reads.release()
        if self.failing is not None:
            raise self.failing
        return {"depth": self.depth}

    @callback
    def oldest(self, limit: int = 3) -> list:
        """The oldest orders."""
        return [{"order": number} for number in range(limit)]
