"""The `vm_events` domain: long collections, a GIL that is kept, slow callbacks, long waits for locks; with stacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

from beamlens.detect import Sensor, SensorState, Threshold
from beamlens.domains import stuck
from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.domains.vm_events.recorder import KINDS, Event, EventRecorder
from beamlens.domains.vm_events.store import EventStore
from beamlens.evidence import CauseKind, Evidence, Strength
from beamlens.metrics import Metric
from beamlens.probes.loops import loops
from beamlens.probes.source import line_of
from beamlens_supervision import ChildSpec

_NO_PORTS = "CPython does not suspend a thread for a busy port: a socket that is full blocks its writer or says so"
_NO_NODES = "CPython has no distribution ports"
_NOBODY = "no EventStore runs: nothing is recorded"
_GC_WINDOW = 20.0
_GC_SHARE = Metric("gc_paused_pct", "%", high=10, critical=50)
_GC_LONG = Metric("gc_pause_ms", "ms", high=1000, critical=5000)
_LOCKED = Metric("lock_wait_s", "s", high=10, critical=60)
_BLOCKED = Metric("loop_blocked_pct", "%", high=15, critical=70)


class VmEventsDomain(Domain):
    """Times in which something kept the whole process, an event loop or other threads waiting, each with its stack.

    ``long_gc``: a collection of 0.1 s or more; no Python thread runs meanwhile. ``gil_held``: a thread kept the GIL for
    0.1 s or more, nearly always in one call of an extension or of a built-in that does not give it away.
    ``slow_callback``: an event loop of asyncio ran one callback for 0.1 s or more, and nothing else. ``lock_wait``: a
    thread waited 5 s or more for a lock. A few of them at start are normal (imports, first connections). Worth an
    alert: collections over 1 s, a loop that is blocked again and again, several threads that wait for one lock. The
    last 500 of five minutes are kept.
    """

    name: ClassVar[str] = "vm_events"
    title: ClassVar[str] = "Events of the interpreter"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("long_gc_events_5m", "events", description="collections of 0.1 s and more", direction="up", matters=5),
        Metric(
            "long_schedule_events_5m", "events", description="gil_held and slow_callback together", direction="none"
        ),
        Metric(
            "gil_held_events_5m",
            "events",
            description="a thread kept the GIL for 0.1 s or more",
            direction="up",
            matters=5,
        ),
        Metric(
            "slow_callback_events_5m",
            "events",
            description="callbacks of event loops of 0.1 s and more",
            direction="up",
            matters=5,
        ),
        Metric(
            "lock_wait_events_5m",
            "events",
            description="waits for a lock of 5 s and more, also going on",
            direction="up",
            matters=3,
        ),
        Metric("busy_port_events_5m", "events", description="no counterpart in CPython", direction="none"),
        Metric("busy_dist_port_events_5m", "events", description="no counterpart in CPython", direction="none"),
        Metric("max_gc_duration_ms", "ms", description="longest collection of five minutes", direction="none"),
        Metric(
            "max_schedule_duration_ms",
            "ms",
            description="longest gil_held or slow_callback of five minutes",
            direction="none",
        ),
        Metric(
            "max_lock_wait_ms",
            "ms",
            description="longest wait for a lock of five minutes",
            direction="none",
        ),
        Metric(
            "affected_process_count", "threads", description="threads with events in five minutes", direction="none"
        ),
        Metric("affected_port_count", "ports", description="no counterpart in CPython", direction="none"),
        Metric(
            "dropped",
            "events",
            description="pushed out of the ring by newer ones since recording began",
            kind="counter",
            direction="none",
        ),
    )
    sensors: ClassVar[tuple[Sensor, ...]] = (
        Sensor("long_gc", "gc_pause_ms", partial(Threshold, _GC_LONG, lasting=0.0)),
        Sensor("gc_share", "gc_paused_pct", partial(Threshold, _GC_SHARE, lasting=5.0), "long_gc"),
        Sensor("lock_wait", "lock_wait_s", partial(Threshold, _LOCKED, lasting=2.0)),
        Sensor("blocked_loop", "loop_blocked_pct", partial(Threshold, _BLOCKED, lasting=4.0)),
    )

    def __init__(self) -> None:
        self.recorder = EventRecorder()

    def children(self) -> Sequence[ChildSpec]:
        """The EventStore."""
        return [ChildSpec("EventStore", EventStore.options(name="EventStore").start, (self.recorder,), shutdown=1.0)]

    def close(self) -> None:
        """Stop recording, should the EventStore not have done so."""
        self.recorder.uninstall()

    def _all(self) -> list[Event]:
        return sorted([*self.recorder.events(), *self.recorder.current_waits()], key=lambda event: -event.at)

    def snapshot(self) -> dict[str, Any]:
        """All metrics; about 0.2 ms."""
        held = self._all()
        counts = Counter(event.kind for event in held)
        data: dict[str, Any] = {
            "long_gc_events_5m": counts["long_gc"],
            "long_schedule_events_5m": counts["gil_held"] + counts["slow_callback"],
            "gil_held_events_5m": counts["gil_held"],
            "slow_callback_events_5m": counts["slow_callback"],
            "lock_wait_events_5m": counts["lock_wait"],
            "max_gc_duration_ms": _longest(held, "long_gc"),
            "max_schedule_duration_ms": _longest(held, "gil_held", "slow_callback"),
            "max_lock_wait_ms": _longest(held, "lock_wait"),
            "affected_process_count": len({event.thread for event in held if event.thread}),
            "dropped": self.recorder.dropped,
        }
        missing = {"busy_port_events_5m": _NO_PORTS, "busy_dist_port_events_5m": _NO_NODES}
        missing["affected_port_count"] = _NO_PORTS
        if self.recorder.since is None:
            missing |= dict.fromkeys(data, _NOBODY)
        return {**data, **dict.fromkeys(missing), "_unavailable": missing}

    def sense(self) -> Mapping[str, float | None]:
        """Longest collection and share of time in long ones, over 20 s; longest wait for a lock; blocked loops.

        A wait counts where several threads wait for one lock, or its holder is seen: a thread that was parked on a lock
        of its own by design is no trouble.
        """
        recent = self.recorder.events(_GC_WINDOW)
        if self.recorder.since is None:
            return {}
        collections = [event.seconds for event in recent if event.kind == "long_gc"]
        waiting = [g.seconds for g in self.recorder.waiting() if len(g.threads) > 1 or g.holder is not None]
        return {
            "gc_pause_ms": 1e3 * max(collections, default=0.0),
            "gc_paused_pct": 100 * sum(collections) / _GC_WINDOW,
            "lock_wait_s": max(waiting, default=0.0),
            "loop_blocked_pct": 100 * stuck.blocked_share(loops.recent(stuck.WINDOW)),
        }

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:
        """What was seen while it happened: lines and stacks; at once."""
        if sensor.name == "blocked_loop":
            return stuck.explain_stalls(loops.recent(2 * stuck.WINDOW), 2 * stuck.WINDOW)
        if sensor.name == "lock_wait":
            return stuck.explain_locks(self.recorder.waiting())
        if sensor.name in ("long_gc", "gc_share"):
            return _explain_gc([event for event in self.recorder.events(60.0) if event.kind == "long_gc"])
        return []

    def excerpt(self, limit: int = 5) -> list[str]:
        """The latest events."""
        return [
            f"{event.kind} {event.seconds:.2f} s, thread {event.thread}: {event.place}" for event in self._all()[:limit]
        ]

    @callback
    def stats(self) -> Any:
        """Counts of five minutes by_type, longest_ms by type, by_thread and by_place (the top ten). About 0.3 ms."""
        if self.recorder.since is None:
            return error("not_available", _NOBODY)
        held = self._all()
        places = Counter(str(event.place) for event in held if event.place is not None)
        return {
            "since": _time(self.recorder.since),
            "total": len(held),
            "by_type": {kind: sum(event.kind == kind for event in held) for kind in KINDS},
            "longest_ms": {kind: _longest(held, kind) for kind in KINDS},
            "by_thread": dict(Counter(event.thread for event in held).most_common(10)),
            "by_place": dict(places.most_common(10)),
            "dropped": self.recorder.dropped,
        }

    @callback
    def events(self, type: str = "", limit: int = 50) -> Any:  # noqa: A002 - the seed's name
        """Events of five minutes, newest first: type, time, duration_ms, thread, at, code, detail, stack (innermost).

        type (long_gc, gil_held, slow_callback, lock_wait) keeps only those of that type. At most 50, about 0.5 ms.
        """
        if type and type not in KINDS:
            return error("bad_argument", f"type={type!r}; the choices are: {', '.join(KINDS)}")
        if self.recorder.since is None:
            return error("not_available", _NOBODY)
        held = [event for event in self._all() if not type or event.kind == type]
        return [_view(event) for event in held[: clamp(limit)]]


def _longest(events: Sequence[Event], *kinds: str) -> float:
    return round(1e3 * max((event.seconds for event in events if event.kind in kinds), default=0.0), 2)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def _view(event: Event) -> dict[str, Any]:
    place = event.place
    return {
        "type": event.kind,
        "time": _time(event.at),
        "duration_ms": round(event.seconds * 1e3, 2),
        "thread": event.thread,
        "at": None if place is None else f"{place.file}:{place.line} {place.function}",
        "code": None if place is None else line_of(place),
        "detail": event.detail,
        "stack": [f"{frame.file}:{frame.line} {frame.function}" for frame in event.stack],
    }


def _explain_gc(pauses: Sequence[Event]) -> list[Evidence]:
    if not pauses:
        text = "no collection took 0.1 s or longer in the last minute"
        return [Evidence(text=text, cause=CauseKind.LONG_GC, strength=Strength.EXCLUDES)]
    total, longest = sum(event.seconds for event in pauses), max(event.seconds for event in pauses)
    places = Counter(event.place for event in pauses if event.place is not None)
    text = (
        f"the garbage collector stopped all threads {len(pauses)} times in the last minute, for {total:.2f} s "
        f"together, {longest:.2f} s at most ({pauses[0].detail})"
    )
    if not places:
        return [Evidence(text=text, cause=CauseKind.LONG_GC, strength=Strength.CONCLUSIVE)]
    place, count = places.most_common(1)[0]
    text += f"; {count} of them were set off at {place}: {line_of(place)}"
    return [
        Evidence(
            text=text,
            cause=CauseKind.LONG_GC,
            strength=Strength.CONCLUSIVE,
            place=place if count >= 0.6 * len(pauses) else None,
            data={"times": len(pauses), "seconds": round(total, 3), "longest_s": round(longest, 3)},
        )
    ]
