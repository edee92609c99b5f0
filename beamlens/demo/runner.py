"""Runs the demo: the shop, a fault, the watch, and what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from beamlens.application import Beamlens
from beamlens.demo.faults import Injection
from beamlens.demo.stage import Stage
from beamlens.evidence import Place
from beamlens.findings import Alert, Insight
from beamlens.telemetry import signal
from beamlens_actors import clock

WATCHERS = ("runtime", "logger", "exception")
LONGEST = 27.0
HEALTHY_SECONDS = 15.0
_SETTLE = 1.0
# Also where a key is set: the demo costs nothing, needs no network, and shows the same to everybody.
_OFFLINE = {"primary": "offline", "clients": [{"name": "offline", "provider": "offline"}]}
_RANK = {"high": 2, "medium": 1, "low": 0}

OnEvent = Callable[[str, Any], object]


class Truth(BaseModel):
    """What really is at fault."""

    kind: str
    file: str
    line: int


class NamedCause(BaseModel):
    """What the watch found."""

    kind: str
    place: Place | None
    text: str
    confidence: str


class DemoResult(BaseModel):
    """A run of the demo.

    Attributes:
        fault: The fault's name and variant, ``None`` without one.
        seed: The seed.
        truth: What was at fault.
        cause: What was found, by the most confident insight.
        alerts: All alerts.
        insights: All insights.
        seconds: How long it took.
    """

    fault: str | None
    seed: int
    truth: Truth | None
    cause: NamedCause | None
    alerts: list[Alert]
    insights: list[Insight]
    seconds: float


def run_demo(
    injection: Injection | None,
    seed: int,
    *,
    on_event: OnEvent = lambda _name, _value: None,
    stop: threading.Event | None = None,
) -> DemoResult:
    """Run the shop, watched, until the cause of the fault is named, or time is up.

    Args:
        injection: The fault; ``None``: the shop stays healthy.
        seed: For the shop's traffic.
        on_event: Is told ``started`` (the lens), ``injected`` (the injection), ``alert``, ``insight``, ``state``.
        stop: Ends it early.
    """
    stop = stop or threading.Event()
    watch = _Watch(on_event)
    began = clock.monotonic()
    with Stage(seed) as stage:
        lens = Beamlens.start(
            watchers=list(WATCHERS), name="demo", operators=[], client_registry=_OFFLINE, control=True
        )
        try:
            watch.connect()
            on_event("started", lens)
            if injection is None:
                clock.wait(stop, HEALTHY_SECONDS)
            elif not clock.wait(stop, injection.after):
                stage.inject(injection)
                on_event("injected", injection)
                watch.wait(stop, began + LONGEST)
        finally:
            watch.disconnect()
            lens.stop()
    seconds = round(clock.monotonic() - began, 2)
    return DemoResult(
        fault=None if injection is None else f"{injection.fault.name}/{injection.variant.name}",
        seed=seed,
        truth=None if injection is None else _truth(injection),
        cause=_cause(watch.insights),
        alerts=watch.alerts,
        insights=watch.insights,
        seconds=seconds,
    )


class _Watch:
    """Collects what the instance finds."""

    def __init__(self, on_event: OnEvent) -> None:
        self.alerts: list[Alert] = []
        self.insights: list[Insight] = []
        self._on_event = on_event
        self._named = threading.Event()

    def connect(self) -> None:
        signal("watcher.alert_fired").connect(self._alert)
        signal("coordinator.insight_produced").connect(self._insight)
        signal("watcher.state_change").connect(self._state)

    def disconnect(self) -> None:
        signal("watcher.alert_fired").disconnect(self._alert)
        signal("coordinator.insight_produced").disconnect(self._insight)
        signal("watcher.state_change").disconnect(self._state)

    def wait(self, stop: threading.Event, deadline: float) -> None:
        while not stop.is_set() and clock.monotonic() < deadline:
            if clock.wait(self._named, min(0.1, max(0.0, deadline - clock.monotonic()))):
                clock.wait(stop, _SETTLE)
                return

    def _alert(self, _sender: str, *, alert: Alert, instance: str, **_metadata: Any) -> None:
        if instance == "demo":
            self.alerts.append(alert)
            self._on_event("alert", alert)

    def _insight(self, _sender: str, *, insight: Insight, instance: str, **_metadata: Any) -> None:
        if instance == "demo":
            self.insights.append(insight)
            if insight.cause is not None:
                self._named.set()
            self._on_event("insight", insight)

    def _state(self, sender: str, *, to_state: str, reason: str, instance: str, **_metadata: Any) -> None:
        if instance == "demo":
            self._on_event("state", (sender, to_state, reason))


def _truth(injection: Injection) -> Truth:
    return Truth(kind=injection.fault.kind, file=injection.truth.file, line=injection.truth.line)


def _cause(insights: list[Insight]) -> NamedCause | None:
    named = [insight for insight in insights if insight.cause is not None]
    if not named:
        return None
    best = max(named, key=lambda insight: (_RANK[insight.confidence], insight.created_at))
    cause = best.cause
    if cause is None:
        return None
    return NamedCause(kind=cause.kind, place=cause.place, text=cause.text, confidence=best.confidence)
