"""The `requests` domain: what comes in, how long it takes, what is under way, and why."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from beamlens.detect import Reading, Sensor, SensorState, Shift, Told
from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.domains.requests import why
from beamlens.domains.requests.book import WINDOW, Tally
from beamlens.domains.requests.recorder import ANSWERED, SOCKETS, RequestRecorder
from beamlens.domains.requests.store import RequestStore
from beamlens.domains.requests.views import failed_row, in_flight_row, ms, route_row, slow_row
from beamlens.domains.requests.watch import Watch
from beamlens.evidence import Evidence
from beamlens.metrics import Metric
from beamlens.probes import request_stacks
from beamlens.probes.request_context import InboundRequest
from beamlens_actors import clock
from beamlens_supervision import ChildSpec

_SORTS = ("time", "count", "p95", "errors", "in_flight")
_TOLD = ("latency_shift", "saturation", "stuck_request", "throughput_collapse")
_VALUE = {
    "latency_shift": "slow_routes", "saturation": "late", "stuck_request": "stuck",
    "throughput_collapse": "answered_per_s",
}  # fmt: skip


class RequestsDomain(Domain):
    """What comes into this process through its doors: HTTP requests, WebSockets, Celery tasks.

    A route is the framework's template (``POST /orders/{id}``), of a task ``task`` and its name; without a framework
    the path with its ids left out. Times are from the call of the application until the response is complete.
    ``late`` are those under way for longer than three times the usual p95 of their route, streams that have begun to
    answer left out. Traffic that rises, with times that stay, is healthy; so are slow routes that always were slow.
    Worth an alert: times of a route that rise against its own past, failures, requests that hang, a queue before the
    process. Where a door for SQL or outgoing HTTP counts, sql and http tell how much of the time is theirs.
    """

    name: ClassVar[str] = "requests"
    title: ClassVar[str] = "Inbound requests"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("requests_per_s", "1/s", description="answered, over the last minute", direction="none"),
        Metric("count_1m", "requests", description="answered in the last minute", direction="none"),
        Metric(
            "error_count_1m",
            "requests",
            description="failed: status 500 and above, exceptions, failed tasks",
            direction="none",
        ),
        Metric(
            "error_pct",
            "%",
            description="failed among those of the last minute",
            direction="up",
            matters=5,
            of="count_1m",
        ),
        Metric(
            "aborted_1m",
            "requests",
            description="ended by the client, or cancelled, in the last minute",
            direction="up",
            matters=10,
        ),
        Metric(
            "p50_ms", "ms", description="median time of the last minute, over all routes", direction="up", matters=20
        ),
        Metric(
            "p95_ms",
            "ms",
            description="95th percentile of the last minute, over all routes",
            direction="up",
            matters=50,
        ),
        Metric("p99_ms", "ms", description="99th percentile of the last minute, over all routes", direction="none"),
        Metric("in_flight", "requests", description="under way now", direction="up", matters=10),
        Metric(
            "oldest_in_flight_s",
            "s",
            description="age of the oldest under way that has not begun to answer",
            direction="up",
            matters=5,
        ),
        Metric(
            "late",
            "requests",
            description="under way for longer than is usual for their route",
            direction="up",
            matters=3,
        ),
        Metric(
            "queue_p95_ms",
            "ms",
            description="waited before it reached the process (X-Request-Start), tasks too",
            direction="up",
            matters=50,
        ),
        Metric(
            "sql_pct", "%", description="part of the time of the last minute that was spent in SQL", direction="none"
        ),
        Metric("http_pct", "%", description="part of the time that was spent in outgoing HTTP calls", direction="none"),
        Metric("by_status", description="counts of the last minute by status class; of tasks by outcome"),
        Metric("routes", "routes", description="with a request in the last minute", direction="none"),
        Metric("slowest_route", description="the one with the highest p95 of the last minute"),
        Metric("websockets_open", "sockets", description="open now", direction="none"),
        Metric("websockets_1m", "sockets", description="opened in the last minute", direction="none"),
        Metric(
            "dropped",
            "requests",
            description="not in the numbers above, since recording began",
            kind="counter",
            direction="none",
        ),
    )
    sensors: ClassVar[tuple[Sensor, ...]] = (
        Sensor(
            "error_share",
            "errors_pct",
            lambda: Shift(least=10.0, ratio=3.0, recent=4, unit="%", what="the share of failed requests"),
            "request_errors",
        ),
        Sensor(
            "queue_time",
            "queue_p95_ms",
            lambda: Shift(least=300.0, ratio=4.0, recent=5, prior=200.0, unit="ms", what="p95 of the time in queue"),
        ),
    )

    def __init__(self) -> None:
        self.recorder = RequestRecorder()
        self._watch = Watch(self.recorder)
        self._watching = threading.Lock()

    def children(self) -> Sequence[ChildSpec]:
        """The RequestStore."""
        start = RequestStore.options(name="RequestStore").start
        return [ChildSpec("RequestStore", start, (self.recorder,), shutdown=1.0)]

    def close(self) -> None:
        """Stop recording, should the RequestStore not have done so."""
        self.recorder.uninstall()

    def all_sensors(self) -> tuple[Sensor, ...]:
        """Those declared, and those whose findings name a route."""
        told = tuple(
            Sensor(
                name, _VALUE[name], partial(Told, partial(self._reading, name), 3.0 if name == "saturation" else 0.0)
            )
            for name in _TOLD
        )
        return (*told, *super().all_sensors())

    def _reading(self, name: str) -> Reading:
        return self._watch.readings.get(name, Reading(active=False))

    def snapshot(self) -> dict[str, Any]:
        """All metrics; about 0.1 ms and 20 us a route."""
        self.sense()
        routes = self._routes()
        total = Tally()
        for tally in routes.values():
            total.merge(tally)
        under_way = self.recorder.in_flight()
        waiting = [request.age() for request in under_way if not request.responding]
        count = self.recorder.rates.count(ANSWERED, WINDOW)
        slowest = max(routes, key=lambda name: routes[name].took.percentile(0.95) or 0.0, default=None)
        data: dict[str, Any] = {
            "requests_per_s": round(count / WINDOW, 2),
            "count_1m": count,
            "error_count_1m": total.errors,
            "error_pct": round(100 * total.errors / total.count, 2) if total.count else 0.0,
            "aborted_1m": total.aborted,
            "p50_ms": ms(total.took.percentile(0.5)),
            "p95_ms": ms(total.took.percentile(0.95)),
            "p99_ms": ms(total.took.percentile(0.99)),
            "in_flight": len(under_way),
            "oldest_in_flight_s": round(max(waiting, default=0.0), 3),
            "late": len(self._watch.late),
            "queue_p95_ms": ms(total.queued.percentile(0.95)),
            "sql_pct": _share(total.sql, total),
            "http_pct": _share(total.http, total),
            "by_status": dict(total.statuses),
            "routes": len(routes),
            "slowest_route": slowest,
            "websockets_open": len(self.recorder.sockets()),
            "websockets_1m": self.recorder.rates.count(SOCKETS, WINDOW),
            "dropped": self.recorder.dropped(),
        }
        if self.recorder.since is None:
            data = dict.fromkeys(data)
            data["_unavailable"] = dict.fromkeys(list(data), "no RequestStore runs: nothing is recorded")
            return data
        missing = {name: _reason(name) for name, value in data.items() if value is None}
        return {**data, "_unavailable": missing} if missing else data

    def sense(self) -> Mapping[str, float | None]:
        """What is slow, late, stuck or failing against each route's past; at most 3 ms with 50 busy routes."""
        with self._watching:
            return self._watch.update()

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:
        """Why: the failures by place, or what slow requests spend their time in; looks at their stacks for 1.5 s."""
        name = sensor.name
        if name == "error_share":
            with self.recorder.reading() as book:
                failed = book.failed()
            return why.explain_failures(failed)
        if name == "queue_time":
            return why.explain_slowness([], {}, self.recorder.in_flight)
        with self._watching:
            routes = self._watch.routes_of(name)
        return why.explain_slowness(
            routes, {route: self._slow_ones(route) for route in routes}, self.recorder.in_flight
        )

    def _slow_ones(self, route: str) -> Tally:
        """The requests of a route that were lately slower than usual; the others would hide what they spent."""
        with self.recorder.reading() as book:
            held, found = book.slow(), Tally()
        least = why.SLOW_TIMES * (self._watch.usual_p95(route) or 0.0)
        oldest = clock.time() - why.LATELY
        for name, request in held:
            if name == route and request.at >= oldest and (request.took or 0.0) > least:
                found.add(request)
        return found

    def excerpt(self, limit: int = 5) -> list[str]:
        """The oldest requests under way, then the latest failures."""
        with self.recorder.reading() as book:
            failed = book.failed()[:limit]
        lines = [f"under way: {one.route} for {one.age():.1f} s" for one in self._waiting() if one.age() > 1.0]
        lines += [f"failed: {name} {why.said(one)[:200]}" for name, one in failed]
        return lines[:limit]

    def _waiting(self) -> list[InboundRequest]:
        return [request for request in self.recorder.in_flight() if not request.responding]

    def _routes(self) -> dict[str, Tally]:
        with self.recorder.reading() as book:
            return book.routes()

    @callback
    def stats(self) -> dict[str, Any]:
        """The last minute over all routes: counts, percentiles in ms, status classes, in flight, queue, sql, http.

        Costs about 20 us a route.
        """
        return self.snapshot()

    @callback
    def routes(self, limit: int = 10, sort_by: str = "time") -> Any:
        """The routes of the last minute: count, errors, p50/p95/p99, usual p95, sql and http share, in flight.

        sort_by: time (all of it together), count, p95, errors, in_flight. At most 50 of 200; about 30 us a route.
        """
        if sort_by not in _SORTS:
            return error("bad_argument", f"sort_by={sort_by!r}; the choices are: {', '.join(_SORTS)}")
        under_way = self.recorder.in_flight()
        rows = [
            route_row(name, tally, self._watch.usual_p95(name), under_way) for name, tally in self._routes().items()
        ]
        key = {"time": "total_s", "p95": "p95_ms"}.get(sort_by, sort_by)
        rows.sort(key=lambda row: -(row[key] or 0))
        return rows[: clamp(limit)]

    @callback
    def route(self, route: str) -> Any:
        """One route: its last minute, and the SQL statements and outgoing calls it spent most time in, with lines."""
        with self.recorder.reading() as book:
            tally, known = book.route(route), book.names()
        if tally is None:
            shown = ", ".join(known[:20]) or "none yet"
            return error("not_found", f"route={route!r}; the routes are: {shown}")
        row = route_row(route, tally, self._watch.usual_p95(route), self.recorder.in_flight())
        calls = sorted(tally.calls.items(), key=lambda item: -item[1][2])[:10]
        row["by_status"] = dict(tally.statuses)
        row["calls"] = [
            {
                "part": call.part,
                "what": call.what[:500],
                "at": None if call.place is None else f"{call.place.file}:{call.place.line}",
                "times_a_request": round(times / requests, 1),
                "total_ms": ms(seconds),
            }
            for call, (requests, times, seconds) in calls
        ]
        return row

    @callback
    def slow(self, limit: int = 10) -> list[dict[str, Any]]:
        """The slowest of the last five minutes (of every five seconds ten are kept), with time by part and trace id."""
        with self.recorder.reading() as book:
            held = book.slow()
        return [slow_row(name, request) for name, request in held[: clamp(limit)]]

    @callback
    def in_flight(self, limit: int = 10) -> list[dict[str, Any]]:
        """What is under way now, oldest first: route, age, and the line its thread or task is at; 30 us each."""
        held = self.recorder.in_flight()
        shared = request_stacks.shared_threads(held)
        return [in_flight_row(request, shared) for request in held[: clamp(limit)]]

    @callback
    def errors(self, limit: int = 10) -> list[dict[str, Any]]:
        """The latest failed requests and tasks, newest first: route, status, exception and line. 200 are kept."""
        with self.recorder.reading() as book:
            held = book.failed()
        return [failed_row(name, request) for name, request in held[: clamp(limit)]]

    @callback
    def websockets(self, limit: int = 10) -> list[dict[str, Any]]:
        """Open WebSockets, oldest first: route, age, and the line its task is at."""
        return [in_flight_row(request) for request in self.recorder.sockets()[: clamp(limit)]]


def _share(part: Sequence[float], total: Tally) -> float | None:
    """Per cent of the time; ``None`` when nothing of that part was counted at all."""
    if not part[0]:
        return None
    return round(min(100.0, 100 * part[1] / max(1e-9, total.took.total)), 1)


def _reason(name: str) -> str:
    if name == "queue_p95_ms":
        return "nobody says when requests were sent: the proxy sets no X-Request-Start"
    if name in ("sql_pct", "http_pct"):
        domain = "database" if name == "sql_pct" else "http_client"
        return f"none was counted in the last minute; the {domain} domain counts them while it is watched"
    return "no request in the last minute"
