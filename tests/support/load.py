"""Load: a burst of alerts on a Coordinator that is far too slow, and a day of continuous watching."""

from __future__ import annotations

import gc
import random
import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass

import psutil

from beamlens.coordinator import AlertInbox, CoordinatorActor, Insights, Verdict
from beamlens.findings import Alert, Snapshot, status
from beamlens.llm.client import Completion, ToolOutput, Usage
from beamlens.llm.offline import OfflineAnalyst
from beamlens.testing import tool
from beamlens.watcher import WatcherActor
from beamlens_actors import Actor, Registry
from beamlens_actors.testing import FakeClock
from beamlens_supervision import DynamicSupervisor, Supervisor
from tests.support.agents import Queue, services

CAPACITY = 1000
_SEVERITIES = ("critical", "warning", "info")


class Slow(OfflineAnalyst):
    """An analyst that lets ten times as many alerts be fired, before each answer, as it can be given at a time."""

    def __init__(self, burst):
        self._burst = burst

    def complete(self, request, *, abort):
        self._burst.wait_for_more(10 * 100, abort)
        return super().complete(request, abort=abort)


class Burst:
    """So many alerts, dealt out to watchers; counts what became of each."""

    def __init__(self, alerts, watchers):
        self._each = alerts // watchers
        self._changed = threading.Condition()
        self.names = [f"watcher{number}" for number in range(watchers)]
        self._fired = dict.fromkeys(self.names, 0)
        self.total = self._each * watchers
        self.told = Counter()
        self.events = Counter()
        self.lost = Counter()
        self.offered = 0  # a few more than planned: one that is killed while it fires goes on beside the next
        self.most_queued = 0
        self.inexact = 0
        self.inbox = AlertInbox(CAPACITY, on_change=self._on_change)

    def _on_change(self, verdict, alert):
        with self._changed:
            self.told[verdict] += 1
            self.lost[alert.severity] += verdict is Verdict.DROPPED

    def fired(self):
        return sum(self._fired.values())

    def done(self):
        return self.fired() >= self.total

    def wait_for_more(self, count, abort):
        """Block until so many more were fired, or all were."""
        take_back = abort.on_abort(self._notify)
        try:
            with self._changed:
                until = self.fired() + count
                while not (abort.aborted or self.done() or self.fired() >= until):
                    self._changed.wait()
        finally:
            take_back()
        abort.raise_if_aborted()

    def wait_until_fired(self, count):
        self.wait_until(lambda: self.fired() >= count)

    def wait_until(self, reached):
        with self._changed:
            while not reached():
                self._changed.wait()

    def heard(self, name, *_rest):
        with self._changed:
            self.events[name] += 1
            self._changed.notify_all()

    def _notify(self):
        with self._changed:
            self._changed.notify_all()

    def fire_some(self, name, count=50):
        """Fire the next of a watcher; whether any is left. What it has fired outlives it."""
        dice = random.Random(f"{name} {self._fired[name]}")
        for _ in range(min(count, self._each - self._fired[name])):
            severity = dice.choices(_SEVERITIES, (1, 9, 90))[0]
            # 320 critical ones can be told apart, less than there is room for, and 9600 of all.
            kinds = 10 if severity == "critical" else 145
            self.inbox.offer(
                _alert(name, f"{severity}{dice.randrange(kinds)}", severity), cooldown=dice.choice((0, 900))
            )
            self._fired[name] += 1
            with self._changed:
                self.offered += 1
        self._notify()
        counts = self.inbox.counts()
        self.most_queued = max(self.most_queued, counts.queued)
        self.inexact += counts.fired != counts.delivered + counts.merged + counts.dropped + counts.queued
        return self._fired[name] < self._each


def _alert(watcher, kind, severity):
    return Alert(
        watcher=watcher, anomaly_type=kind, severity=severity, context="load", observation=f"{kind} was seen",
        snapshots=(Snapshot(data={"depth": 1}),), node="n", instance="test", trace_id="0" * 32,
    )  # fmt: skip


class Firing(Actor):
    """Fires as long as there is something left, a little at a time; a restarted one goes on."""

    def __init__(self, burst, name):
        super().__init__()
        self._burst, self._name = burst, name

    def on_start(self):
        self.actor_ref.tell("go on")

    def on_receive(self, _message):
        if self._burst.fire_some(self._name):
            self.actor_ref.tell("go on")


def fire(alerts, watchers=32, restarts=10):
    """Fire so many, with restarts of the Coordinator and of watchers in between; then let the Coordinator finish.

    Returns:
        The burst, and the most alerts that were alive at a time.
    """
    burst, registry, insights, most_alive = Burst(alerts, watchers), Registry(), Insights(), 0
    slow = Slow(burst)
    with services(slow, offline=slow) as (made, events):
        made.bus._listeners.clear()  # to record 100 000 alerts is the test's own leak
        made.bus.listen(burst.heard)
        spec = CoordinatorActor.child_spec(made, burst.inbox, insights, registry=registry, settle=0.01)
        root = Supervisor.start([spec], max_restarts=10 * restarts)
        firing = DynamicSupervisor.start(max_restarts=100 * restarts)
        try:
            for name in burst.names:
                firing.start_child(_spec(burst, name, registry))
            for number in range(1, restarts + 1):
                burst.wait_until_fired(burst.total * number // (restarts + 1))
                most_alive = max(most_alive, alive()["Alert"])
                for key in (("coordinator", "coordinator"), ("firing", burst.names[number % watchers])):
                    _kill(registry, key)
                burst.wait_until(lambda number=number: burst.events["coordinator.started"] > number)
            burst.wait_until_fired(burst.total)
            _drain(burst)
        finally:
            firing.stop()
            root.stop()
        assert made.bus.flush(30)
    del events
    return burst, most_alive


def _spec(burst, name, registry):
    from beamlens_supervision import ChildSpec

    launcher = Firing.options(name=name, register=(registry, ("firing", name)))
    return ChildSpec(name, launcher.start, (burst, name))


def _kill(registry, key):
    ref = registry.lookup(key)
    if ref is not None:  # else it is being restarted
        ref.kill()


def _drain(burst, timeout=120.0):
    from beamlens_actors import clock

    deadline = clock.monotonic() + timeout
    while burst.inbox.counts().queued:
        if clock.monotonic() > deadline:
            raise TimeoutError(f"still queued: {burst.inbox.counts()}")
        clock.sleep(0.02)


def alive():
    """Objects of Beamlens's own classes, by class name."""
    gc.collect()
    return Counter(
        type(each).__name__ for each in gc.get_objects() if str(type(each).__module__).startswith("beamlens")
    )


@dataclass(frozen=True)
class Size:
    """What a process takes at one moment."""

    looks: int
    objects: Counter
    rss_mb: float

    @classmethod
    def now(cls, looks):
        return cls(looks, alive(), psutil.Process().memory_info().rss / 1e6)

    def __str__(self):
        return f"{self.looks} looks: {sum(self.objects.values())} own objects, {self.rss_mb:.1f} MB"


class Busy:
    """A model that watches without a rest: a snapshot, some Lua, now and then an alert, half a minute of waiting."""

    model = "busy"

    def __init__(self):
        self.calls = 0
        self.most_messages = 0

    def complete(self, request, *, abort):
        abort.raise_if_aborted()
        self.calls += 1
        self.most_messages = max(self.most_messages, len(request.messages))
        # As a provider counts it: the size of what was sent decides when it is summarised.
        size = sum(len(str(block)) for message in request.messages for block in message.content)
        usage = Usage(len(request.system) // 4 + size // 4, 20)
        if not request.tools:
            return Completion(f"It was quiet until call {self.calls}.", usage=usage, model=self.model)
        return Completion("", (self._next(request.messages[-1]),), usage, "tool_use", self.model)

    def _next(self, last):
        results = sum(isinstance(block, ToolOutput) for block in last.content)
        if not results:
            return tool("take_snapshot")
        if self.calls % 3:
            return tool("execute", code="return {depth = queue_oldest(1)}") if self.calls % 5 == 0 else self._wait()
        return self._wait()

    def _wait(self):
        return tool("wait", ms=30_000, note=f"quiet at call {self.calls}")


def watch(hours, samples=40):
    """Watch continuously for so many fake hours.

    Returns:
        The model, how often the conversation was summarised, and the sizes at so many moments.
    """
    from beamlens.agent.compaction import CompactionPolicy

    client, registry, sizes = Busy(), Registry(), []
    looks = int(hours * 120)
    with ExitStack() as stack:
        clock = stack.enter_context(FakeClock())
        made, events = stack.enter_context(services(client, compaction=CompactionPolicy(3000, 5)))
        supervisor = DynamicSupervisor.start()
        stack.callback(supervisor.stop)
        supervisor.start_child(
            WatcherActor.child_spec(made, Queue(), lambda _alert: "", registry=registry, name="queue", continuous=True)
        )
        ref = registry.lookup(("watcher", "queue"))
        summarised = 0
        for look in range(1, looks + 1):
            events.wait_for("watcher.wait", timeout=None)
            ref.ask(status, timeout=30)  # told before its timer stands, answered after
            summarised += len(events.of("compaction.stop"))
            events.all.clear()
            if look % (looks // samples) == 0:
                sizes.append(Size.now(look))
            if look < looks:
                clock.advance(30.0)
    return client, summarised, sizes


def most(sizes):
    """The most of each class, and of memory, at any of these moments: the conversation swells and is summarised."""
    objects = Counter()
    for size in sizes:
        objects |= size.objects
    return Size(sizes[-1].looks, objects, max(size.rss_mb for size in sizes))
