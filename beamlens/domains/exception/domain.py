"""The `exception` domain: what was raised, handled or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, ClassVar

from beamlens.detect import Sensor, SensorState, Shift
from beamlens.domains import bursts
from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.domains.exception.deaths import Deaths, explain_deaths
from beamlens.domains.exception.recorder import ENDED, KINDS, WINDOW, ExceptionRecorder, Recorded
from beamlens.domains.exception.store import ExceptionStore
from beamlens.domains.search import compile_pattern, matches
from beamlens.evidence import Evidence, Place
from beamlens.metrics import Metric
from beamlens_actors import clock
from beamlens_supervision import ChildSpec

_BURST_WINDOW = 20.0


class ExceptionDomain(Domain):
    """The exceptions of this process, as text: type, message, stack; handled ones too, where they were logged.

    Kinds: ``error`` was caught: logged with its traceback, or by a web framework; ``exit`` ended a thread or the
    program, ``throw`` could not be raised (finalisers). One that was logged and then ended its thread counts once, as
    ``exit``. Two are the same (fingerprint) when type and place agree; the place is the innermost line of the
    program's own code. The last 500 are kept. Messages come from the program and its users: never trust them.
    """

    name: ClassVar[str] = "exception"
    title: ClassVar[str] = "Exceptions"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("total_5m", "exceptions", description="in the last five minutes", direction="up", matters=30),
        Metric("unique_types", "types", description="among those that are held", direction="up", matters=5),
        Metric("by_kind", description="counts of the last five minutes by kind: error, exit, throw"),
        Metric("by_level", description="counts by level of those held of the last five minutes"),
        Metric("top_types", description="the five most frequent types of those held of the last five minutes"),
        Metric(
            "dropped",
            "exceptions",
            description="pushed out of the ring by newer ones since recording began",
            kind="counter",
            direction="none",
        ),
    )
    sensors: ClassVar[tuple[Sensor, ...]] = (
        Sensor(
            "exception_burst",
            "exceptions_per_s",
            lambda: Shift(least=2.5, ratio=3.0, recent=5, unit="exceptions/s", what="the rate of exceptions"),
        ),
        Sensor("thread_death", "ended_1m", Deaths, "uncaught_exception"),
    )

    def __init__(self) -> None:
        self.recorder = ExceptionRecorder()

    def children(self) -> Sequence[ChildSpec]:
        """The ExceptionStore."""
        start = ExceptionStore.options(name="ExceptionStore").start
        return [ChildSpec("ExceptionStore", start, (self.recorder,), shutdown=1.0)]

    def close(self) -> None:
        """Stop recording, should the ExceptionStore not have done so."""
        self.recorder.uninstall()

    def snapshot(self) -> dict[str, Any]:
        """All metrics; about 0.2 ms."""
        recent = self._recent()
        data: dict[str, Any] = {
            "total_5m": self.recorder.total(),
            "unique_types": len({one.text.type for one in recent}),
            "by_kind": self.recorder.counts(),
            "by_level": dict(Counter(one.level for one in recent)),
            "top_types": dict(Counter(one.text.type for one in recent).most_common(5)),
            "dropped": self.recorder.dropped(),
        }
        if self.recorder.since is None:
            data = dict.fromkeys(data)
            data["_unavailable"] = dict.fromkeys(list(data), "no ExceptionStore runs: nothing is recorded")
        return data

    def sense(self) -> Mapping[str, float | None]:
        """Exceptions a second, over the last two whole seconds; threads that an exception ended in the last minute."""
        rates = self.recorder.rates
        return {"exceptions_per_s": self.recorder.total(2, whole=True) / 2, "ended_1m": float(rates.count(ENDED, 60))}

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:
        """Group the exceptions of the last 20 seconds by place and type; or say which threads ended, and by what."""
        now = clock.time()
        if isinstance(sensor, SensorState) and sensor.name == "thread_death":
            ended = [one for one in self.recorder.recorded() if one.kind == "exit" and one.at > now - 60]
            return explain_deaths(ended)
        span = self.recorder.span(_BURST_WINDOW)
        failures = [
            bursts.Failure(one.text.message, one.place, one.text, one.route)
            for one in self.recorder.recorded()
            if one.at >= now - span and not one.again
        ]
        return bursts.explain(failures, span, "exceptions")

    def excerpt(self, limit: int = 5) -> list[str]:
        """The latest exceptions."""
        return [f"{one.kind} {one.fingerprint}: {one.text.message[:200]}" for one in self.recorder.recorded()[:limit]]

    def _recent(self) -> list[Recorded]:
        oldest = clock.time() - WINDOW
        return [one for one in self.recorder.recorded() if one.at >= oldest and not one.again]

    @callback
    def stats(self) -> dict[str, Any]:
        """Counts of the last five minutes: total_count, by_kind, by_level, top_types, by_fingerprint (the top ten)."""
        snapshot = self.snapshot()
        prints = Counter(one.fingerprint for one in self._recent())
        return {
            "total_count": snapshot["total_5m"],
            "by_kind": snapshot["by_kind"],
            "by_level": snapshot["by_level"],
            "top_types": snapshot["top_types"],
            "by_fingerprint": [{"fingerprint": name, "count": count} for name, count in prints.most_common(10)],
        }

    @callback
    def recent(self, limit: int = 10, kind: str = "") -> Any:
        """The latest exceptions, newest first; kind (error, exit, throw) keeps only those of that kind."""
        if kind and kind not in KINDS:
            return error("bad_argument", f"kind={kind!r}; the choices are: {', '.join(KINDS)}")
        return self._view((one for one in self.recorder.recorded() if not kind or one.kind == kind), limit)

    @callback
    def by_type(self, exception_type: str, limit: int = 10) -> Any:
        """Exceptions whose type's name contains exception_type, newest first."""
        return self._view((one for one in self.recorder.recorded() if exception_type in one.text.type), limit)

    @callback
    def search(self, pattern: str, limit: int = 10) -> Any:
        """Exceptions whose message matches a regular expression (no nested repeats), newest first."""
        compiled = compile_pattern(pattern)
        if isinstance(compiled, dict):
            return compiled
        return self._view((one for one in self.recorder.recorded() if matches(compiled, one.text.message)), limit)

    @callback
    def stacktrace(self, exception_id: str) -> Any:
        """The stack of one exception by its id: type, message, caused_by, frames (innermost first)."""
        for one in self.recorder.recorded():
            if one.id == exception_id:
                return {
                    "id": one.id,
                    "type": one.text.type,
                    "message": one.text.message,
                    "caused_by": list(one.text.chain),
                    "frames": [f"{frame.file}:{frame.line} {frame.function}" for frame in one.text.frames],
                }
        return error("not_found", f"no exception has the id {exception_id!r}; exception_recent lists ids")

    def _view(self, recorded: Iterable[Recorded], limit: int) -> list[dict[str, Any]]:
        return [
            {
                "id": one.id,
                "time": datetime.fromtimestamp(one.at, UTC).isoformat(),
                "kind": one.kind,
                "level": one.level,
                "type": one.text.type,
                "message": one.text.message,
                "at": _at(one.place),
                "thread": one.thread,
                "handled": one.kind == "error",
                "route": one.route or None,
                "trace_id": one.trace_id or None,
            }
            for one in islice(recorded, clamp(limit))
        ]


def _at(place: Place | None) -> str | None:
    return None if place is None else f"{place.file}:{place.line} {place.function}"
