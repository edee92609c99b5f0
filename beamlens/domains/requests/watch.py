"""What is usual for each route, and what is not: read every few seconds, judged by the sensors."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from beamlens.detect import Reading, Severity, Shift
from beamlens.domains.requests.book import SLOT, Book, Tally
from beamlens.domains.requests.recorder import RequestRecorder
from beamlens.probes.request_context import InboundRequest, Kind
from beamlens_actors import clock

_SPAN = 2 * SLOT
_FEWEST_REQUESTS = 5
_FEWEST_SLOW = 3
_FEWEST_USUAL = 10
_MOST_WATCHED = 50
_STRANGE_P95 = {"http": 3.0, "celery": 120.0, "websocket": 3.0}
_LEAST_SHIFT = {"http": 0.2, "celery": 10.0, "websocket": 0.2}
# Seconds under way until a request is late, and until it is stuck: of a route of which something is known, at least
# the first number; else the second. A client that polls may well wait for a minute from the very first request on.
_LATE = {"http": (1.0, 60.0), "celery": (10.0, 3600.0)}
_STUCK = {"http": (30.0, 120.0), "celery": (300.0, 3600.0)}
# So many times the usual p95, and so many times the longest that ever was.
_LATE_TIMES, _STUCK_TIMES = (3.0, 0.0), (5.0, 2.0)
_FEWEST_EVER = 3
_LEAST_LATE = 1.0
_LATE_SHARE, _FEWEST_LATE = 0.3, 4
_COLLAPSED, _LEAST_RATE, _FEWEST_WAITING = 0.3, 1.0, 4
_RATE_SPAN = 10
_LASTING = 3.0
_QUIET = Reading(active=False)


@dataclass(slots=True)
class _Usual:
    """A route's own past."""

    shift: Shift
    p95s: deque[float] = field(default_factory=lambda: deque(maxlen=60))
    reading: Reading = _QUIET

    @property
    def p95(self) -> float | None:
        """Its usual 95th percentile in seconds; ``None`` while too little is known."""
        return statistics.median(self.p95s) if len(self.p95s) >= _FEWEST_USUAL else None


class Watch:
    """Compares what was answered and what is under way with what is usual. Used by one thread at a time."""

    def __init__(self, recorder: RequestRecorder) -> None:
        self._recorder = recorder
        self._usual: dict[str, _Usual] = {}
        self._rates: deque[float] = deque(maxlen=120)
        self._ever: dict[str, tuple[float, float]] = {}
        self._at = float("-inf")
        self.shifted: list[str] = []
        self.late: list[InboundRequest] = []
        self.stuck: list[InboundRequest] = []
        self.readings: dict[str, Reading] = {}
        self.values: dict[str, float | None] = {}

    def update(self) -> dict[str, float | None]:
        """Look, at most once in half a second; returns the numbers for the sensors. About 0.2 ms and 50 us a route."""
        now = clock.monotonic()
        if 0 <= now - self._at < 0.5:
            return self.values
        self._at = now
        with self._recorder.reading() as book:
            routes = book.routes(_SPAN)
            busiest = sorted(routes.items(), key=lambda item: -item[1].took.total)[:_MOST_WATCHED]
            kinds: dict[str, Kind] = {name: book.kind(name) for name, _ in busiest}
        recent = Tally()
        for tally in routes.values():
            recent.merge(tally)
        waiting = [request for request in self._recorder.in_flight() if not request.responding]
        self._judge_times(now, busiest, kinds)
        self._judge_waiting(waiting)
        rate = self._judge_rate(waiting)
        self.values = {
            "slow_routes": float(len(self.shifted)),
            "errors_pct": 100 * recent.errors / recent.count if recent.errors >= _FEWEST_REQUESTS else 0.0,
            "late": float(len(self.late)),
            "stuck": float(len(self.stuck)),
            "answered_per_s": rate,
            "queue_p95_ms": _queue_ms(routes, book),
        }
        return self.values

    def usual_p95(self, route: str) -> float | None:
        """A route's usual 95th percentile in seconds, if enough is known."""
        usual = self._usual.get(route)
        return None if usual is None else usual.p95

    def routes_of(self, sensor: str) -> list[str]:
        """The routes that a sensor speaks of, the worst first; all that are under way if it names none."""
        if sensor == "latency_shift":
            return list(self.shifted)
        held = self.stuck if sensor == "stuck_request" else self.late
        return list(dict.fromkeys(request.route for request in held))

    # -- times -----------------------------------------------------------------------------------------------

    def _judge_times(self, now: float, busiest: Sequence[tuple[str, Tally]], kinds: dict[str, Kind]) -> None:
        self._forget({name for name, _ in busiest})
        for name, tally in busiest:
            # One slow request among ten is no change of level: at least three must be.
            p95 = tally.took.percentile(1.0 - max(0.05, (_FEWEST_SLOW - 1) / tally.count))
            if p95 is None or tally.count < _FEWEST_REQUESTS:
                continue
            usual = self._usual.get(name)
            if usual is None:
                usual = self._usual[name] = _Usual(_shift_of(name, kinds[name]))
            usual.reading = usual.shift.update(now, p95)
            if not usual.reading.active:
                usual.p95s.append(p95)
        active = [(name, usual.reading) for name, usual in self._usual.items() if usual.reading.active]
        active.sort(key=lambda item: -_times(item[1]))
        self.shifted = [name for name, _ in active]
        self.readings["latency_shift"] = active[0][1] if active else _QUIET

    def _forget(self, busy: set[str]) -> None:
        """Make room for new routes; a route that rests is not slow now."""
        for name, usual in list(self._usual.items()):
            if name not in busy:
                usual.reading = _QUIET
                if len(self._usual) > 4 * _MOST_WATCHED:
                    del self._usual[name]

    # -- under way -------------------------------------------------------------------------------------------

    def _judge_waiting(self, waiting: Sequence[InboundRequest]) -> None:
        candidates = [one for one in waiting if one.age() > _LEAST_LATE]
        self._remember({one.route for one in candidates})
        self.late = [one for one in candidates if one.age() > self._bound(one, _LATE, _LATE_TIMES)]
        self.stuck = [one for one in self.late if one.age() > self._bound(one, _STUCK, _STUCK_TIMES)]
        self.readings["stuck_request"] = _QUIET
        self.readings["saturation"] = _QUIET
        if self.stuck:
            oldest = self.stuck[0]
            more = f"; {len(self.stuck) - 1} more are stuck" if len(self.stuck) > 1 else ""
            reason = f"{oldest.route} has been under way for {oldest.age():.0f} s{self._compared(oldest)}{more}"
            severity: Severity = "critical" if len(self.stuck) >= _FEWEST_LATE else "warning"
            data = {"age_s": round(oldest.age(), 1), "stuck": float(len(self.stuck))}
            self.readings["stuck_request"] = Reading(active=True, reason=reason, severity=severity, data=data)
        if len(self.late) >= max(_FEWEST_LATE, _LATE_SHARE * len(waiting)):
            routes = self.routes_of("saturation")
            reason = (
                f"{len(self.late)} of {len(waiting)} requests under way take longer than usual, the oldest "
                f"{self.late[0].age():.1f} s; most of them are {_most(self.late, routes)}"
            )
            data = {"late": float(len(self.late)), "in_flight": float(len(waiting))}
            self.readings["saturation"] = Reading(active=True, reason=reason, data=data)

    def _remember(self, routes: set[str]) -> None:
        """What is known of routes with few requests: their p95 and longest of all times."""
        self._ever = {}
        with self._recorder.reading() as book:
            for route in routes:
                ever = book.ever(route)
                if ever is not None and ever.count >= _FEWEST_EVER:
                    self._ever[route] = ever.percentile(0.95) or 0.0, ever.percentile(1.0) or 0.0

    def _bound(
        self, request: InboundRequest, bounds: dict[str, tuple[float, float]], times: tuple[float, float]
    ) -> float:
        least, unknown = bounds.get(request.kind, bounds["http"])
        p95, longest = self._ever.get(request.route, (None, 0.0))
        usual = self.usual_p95(request.route) or p95
        return unknown if usual is None else max(least, times[0] * usual, times[1] * longest)

    def _compared(self, request: InboundRequest) -> str:
        usual = self.usual_p95(request.route)
        return "" if usual is None else f", usually {1e3 * usual:.0f} ms (p95)"

    # -- throughput ------------------------------------------------------------------------------------------

    def _judge_rate(self, waiting: Sequence[InboundRequest]) -> float:
        rate = self._recorder.rates.count("answered", _RATE_SPAN, whole=True) / _RATE_SPAN
        usual = statistics.median(self._rates) if len(self._rates) >= _FEWEST_USUAL else 0.0
        collapsed = usual >= _LEAST_RATE and rate < _COLLAPSED * usual and len(self.late) >= _FEWEST_WAITING
        self.readings["throughput_collapse"] = _QUIET
        if collapsed:
            reason = (
                f"only {rate:.1f} requests a second are answered, usually {usual:.1f}, "
                f"while {len(waiting)} are under way, {len(self.late)} of them for longer than usual"
            )
            data = {"answered_per_s": rate, "usual_per_s": usual, "in_flight": float(len(waiting))}
            self.readings["throughput_collapse"] = Reading(active=True, reason=reason, severity="critical", data=data)
        else:
            self._rates.append(rate)
        return rate


def _shift_of(route: str, kind: Kind) -> Shift:
    return Shift(
        least=_LEAST_SHIFT[kind],
        ratio=3.0,
        recent=4,
        baseline=60,
        prior=_STRANGE_P95[kind],
        unit="s",
        what=f"p95 of {route} (of a few requests the third slowest)",
    )


def _times(reading: Reading) -> float:
    return reading.data.get("level", 0.0) / max(1e-3, reading.data.get("baseline", 1.0))


def _most(late: Sequence[InboundRequest], routes: Sequence[str]) -> str:
    return max(routes, key=lambda route: sum(request.route == route for request in late))


def _queue_ms(routes: dict[str, Tally], book: Book) -> float | None:
    """What HTTP requests wait for; a backlog of tasks is often meant."""
    merged = Tally()
    for name, tally in routes.items():
        if book.kind(name) == "http":
            merged.queued.merge(tally.queued)
    p95 = merged.queued.percentile(0.95)
    return None if p95 is None else 1e3 * p95
