"""The `http_client` domain: what this process calls, how long that takes, what fails, hangs and waits."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from beamlens.detect import Reading, Sensor, SensorState, Told
from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.domains.http_client import taps, why
from beamlens.domains.http_client.book import WINDOW, Tally
from beamlens.domains.http_client.call import Call
from beamlens.domains.http_client.recorder import ENDED, CallRecorder
from beamlens.domains.http_client.store import HttpClientStore
from beamlens.domains.http_client.views import ended_row, in_flight_row, ms, site_rows, tally_row
from beamlens.domains.http_client.watch import Watch
from beamlens.evidence import Evidence
from beamlens.metrics import Metric
from beamlens_actors import clock
from beamlens_supervision import ChildSpec

_SORTS = {"time": "total_s", "count": "count", "p95": "p95_ms", "errors": "errors", "in_flight": "in_flight"}
_TOLD = (
    ("failing_host", "failing_hosts", "outgoing_errors", 0.0),
    ("slow_host", "slow_hosts", "outgoing_latency", 0.0),
    ("hanging_call", "stuck", "hanging_call", 0.0),
    ("pile_up", "late", "outgoing_pile_up", 3.0),
)


class HttpClientDomain(Domain):
    """Outgoing HTTP calls of this process: through requests, urllib3, http.client, httpx and aiohttp.

    A route is method, host and path with its ids left out. A call is timed from the moment the program makes it until
    its body is read, retries of the library included; what the library retried is told apart. Failed are calls that got
    no answer (refused, dns, tls, timeout, reset, pool) and answers of 500 and above; 4xx are answers, counted by
    status. ``late`` are calls in flight for longer than three times the usual p95 of their host. Places are the lines
    of the program that make the calls.

    Normal: few failures, times near a host's own past, no wait for a connection. Worth an alert: a host that fails or
    gets slow against its own past, calls that hang (above all without a timeout), calls that pile up, waits for the
    connection pool. Traffic that rises is healthy, and so is a host that always was slow.
    """

    name: ClassVar[str] = "http_client"
    title: ClassVar[str] = "Outgoing HTTP calls"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("calls_per_s", "1/s", description="ended, over the last minute", direction="none"),
        Metric("count_1m", "calls", description="ended in the last minute", direction="none"),
        Metric(
            "error_count_1m", "calls", description="failed in the last minute; 4xx are no failures", direction="none"
        ),
        Metric(
            "error_pct",
            "%",
            description="failed among those of the last minute",
            direction="up",
            matters=5,
            of="count_1m",
        ),
        Metric("by_error", description="failures of the last minute by kind"),
        Metric("by_status", description="answers of the last minute by status class"),
        Metric(
            "cancelled_1m",
            "calls",
            description="given up by the program in the last minute",
            direction="up",
            matters=10,
        ),
        Metric("p50_ms", "ms", description="median time of the last minute", direction="up", matters=20),
        Metric("p95_ms", "ms", description="95th percentile of the last minute", direction="up", matters=50),
        Metric("p99_ms", "ms", description="99th percentile of the last minute", direction="none"),
        Metric(
            "first_byte_p95_ms", "ms", description="95th percentile until the headers of the answer", direction="none"
        ),
        Metric("in_flight", "calls", description="under way now", direction="up", matters=10),
        Metric(
            "oldest_in_flight_s", "s", description="age of the oldest that has no answer yet", direction="up", matters=5
        ),
        Metric(
            "late", "calls", description="in flight for longer than is usual for their host", direction="up", matters=3
        ),
        Metric(
            "without_timeout",
            "calls",
            description="in flight without an answer and with no timeout set",
            direction="none",
        ),
        Metric(
            "retries_1m", "retries", description="made by the libraries in the last minute", direction="up", matters=10
        ),
        Metric("pool_waiting", "calls", description="that wait for a free connection now", direction="up", matters=3),
        Metric(
            "pool_wait_ms",
            "ms",
            high=1000,
            critical=10_000,
            description="longest wait of now and the last 10 s",
            matters=200,
        ),
        Metric(
            "received_mb_1m",
            "MB",
            description="bodies of the last minute, where their length is known",
            direction="none",
        ),
        Metric("hosts", "hosts", description="called in the last minute", direction="none"),
        Metric("slowest_host", description="the one with the highest p95 of the last minute"),
        Metric("libraries", description="those that are listened to"),
        Metric(
            "dropped",
            "calls",
            description="not in the numbers above, since recording began",
            kind="counter",
            direction="none",
        ),
    )

    def __init__(self, stuck_after: float = 30.0) -> None:
        """Watch the calls of this process.

        Args:
            stuck_after: Seconds without an answer from which on a call hangs, unless its host usually takes long;
                twice as many while nothing is known of the host.

        Raises:
            TypeError: It is not seconds above 0.
        """
        if isinstance(stuck_after, bool) or not isinstance(stuck_after, (int, float)) or not stuck_after > 0:
            raise TypeError(f"stuck_after must be seconds above 0, not {stuck_after!r}")
        self.recorder = CallRecorder()
        self._watch = Watch(self.recorder, float(stuck_after))
        self._watching = threading.Lock()

    def children(self) -> Sequence[ChildSpec]:
        """The HttpClientStore."""
        start = HttpClientStore.options(name="HttpClientStore").start
        return [ChildSpec("HttpClientStore", start, (self.recorder,), shutdown=1.0)]

    def close(self) -> None:
        """Stop recording, should the HttpClientStore not have done so."""
        self.recorder.uninstall()

    def all_sensors(self) -> tuple[Sensor, ...]:
        """Those whose findings name a host, and the threshold of the pool."""
        told = tuple(
            Sensor(name, metric, partial(Told, partial(self._reading, name), lasting), anomaly_type)
            for name, metric, anomaly_type, lasting in _TOLD
        )
        return (*told, *super().all_sensors())

    def _reading(self, name: str) -> Reading:
        return self._watch.readings.get(name, Reading(active=False))

    # -- numbers ---------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """All metrics; about 0.1 ms and 30 us a host."""
        if self.recorder.since is None:
            data: dict[str, Any] = dict.fromkeys(metric.name for metric in self.metrics)
            data["_unavailable"] = dict.fromkeys(list(data), "no HttpClientStore runs: nothing is recorded")
            return data
        self.sense()
        hosts, total = self._hosts(), Tally()
        for tally in hosts.values():
            total.merge(tally)
        under_way = self.recorder.in_flight()
        waiting = [call for call in under_way if call.stage != "body"]
        count = self.recorder.rates.count(ENDED, WINDOW)
        data = {
            "calls_per_s": round(count / WINDOW, 2),
            "count_1m": count,
            "error_count_1m": total.failed,
            "error_pct": round(100 * total.failed / total.count, 2) if total.count else 0.0,
            "by_error": dict(total.errors),
            "by_status": dict(total.statuses),
            "cancelled_1m": total.cancelled,
            "p50_ms": ms(total.took.percentile(0.5)),
            "p95_ms": ms(total.took.percentile(0.95)),
            "p99_ms": ms(total.took.percentile(0.99)),
            "first_byte_p95_ms": ms(total.first.percentile(0.95)),
            "in_flight": len(under_way),
            "oldest_in_flight_s": round(max((call.age() for call in waiting), default=0.0), 3),
            "late": len(self._watch.late),
            "without_timeout": sum(call.limit == "none" for call in waiting),
            "retries_1m": total.retries,
            "pool_waiting": sum(call.stage == "pool" for call in waiting),
            "pool_wait_ms": self._watch.values.get("pool_wait_ms"),
            "received_mb_1m": round(total.received / 1048576, 3),
            "hosts": len(hosts),
            "slowest_host": max(hosts, key=lambda name: hosts[name].took.percentile(0.95) or 0.0, default=None),
            "libraries": taps.heard(),
            "dropped": self.recorder.dropped(),
        }
        missing = {name: "no call in the last minute" for name, value in data.items() if value is None}
        return {**data, "_unavailable": missing} if missing else data

    def sense(self) -> Mapping[str, float | None]:
        """What is slow, failing, late or hanging against each host's past; wraps libraries that came since."""
        if self.recorder.since is not None:
            taps.look()
        with self._watching:
            return self._watch.update()

    def _hosts(self, seconds: int = WINDOW) -> dict[str, Tally]:
        with self.recorder.reading() as book:
            return book.hosts(seconds)

    # -- why -------------------------------------------------------------------------------------------------

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:
        """Which host and route, and which line of the program; about 1 ms."""
        name, lately = sensor.name, int(why.LATELY)
        with self._watching:
            slow, failing, down = list(self._watch.slow), list(self._watch.failing), dict(self._watch.down)
            stuck, late = list(self._watch.stuck), list(self._watch.late)
        if name == "failing_host":
            with self.recorder.reading() as book:
                failed, hosts = book.failed(), book.hosts(lately)
            now = clock.time()
            since = {host: now - down[host].began + 1.0 if host in down else why.LATELY for host in failing}
            return why.failing(failed, hosts, {host: max(why.LATELY, seconds) for host, seconds in since.items()})
        if name == "slow_host":
            with self.recorder.reading() as book:
                routes = {host: book.routes(lately, host) for host in slow}
            usual = {host: p95 for host in slow if (p95 := self._watch.usual_p95(host)) is not None}
            return why.slow(slow, routes, usual)
        if name == "pool_wait_ms_threshold":
            return why.waiting(self.recorder.in_flight(), self._hosts(lately))
        if name in ("hanging_call", "pile_up"):
            return why.hanging(stuck if name == "hanging_call" else late)
        return ()

    def excerpt(self, limit: int = 5) -> list[str]:
        """The oldest calls without an answer, then the latest failures."""
        waiting = [call for call in self.recorder.in_flight() if call.stage != "body" and call.age() > 1.0]
        lines = [f"in flight: {call.route} for {call.age():.1f} s at {call.site}" for call in waiting]
        with self.recorder.reading() as book:
            failed = book.failed()[:limit]
        lines += [f"failed: {call.route} {call.error} {call.raised or call.status} at {call.site}" for call in failed]
        return lines[:limit]

    # -- callbacks -------------------------------------------------------------------------------------------

    @callback
    def stats(self) -> dict[str, Any]:
        """All metrics. Costs about 30 us a host."""
        return self.snapshot()

    @callback
    def hosts(self, limit: int = 10, sort_by: str = "time") -> Any:
        """The hosts of the last minute: count, errors by kind, percentiles, usual p95, retries, pool waits, in flight.

        sort_by: time (all of it together), count, p95, errors, in_flight. At most 50 of 100; about 50 us a host.
        """
        under_way = self.recorder.in_flight()
        rows = [self._row(name, "host", tally, under_way) for name, tally in self._hosts().items()]
        return _ranked(rows, sort_by, limit)

    @callback
    def routes(self, limit: int = 10, sort_by: str = "time") -> Any:
        """The routes (method, host, path) of the last minute, with the same columns as the hosts.

        sort_by: time, count, p95, errors, in_flight. At most 50 of 300; about 50 us a route.
        """
        with self.recorder.reading() as book:
            held = book.routes()
        under_way = self.recorder.in_flight()
        return _ranked([self._row(name, "route", tally, under_way) for name, tally in held.items()], sort_by, limit)

    @callback
    def host(self, host: str) -> Any:
        """One host: its last minute, its ten busiest routes, and the lines of the program that call it; 0.5 ms."""
        with self.recorder.reading() as book:
            known, tally, held = book.names(), book.hosts().get(host), book.routes(host=host)
        if host not in known:
            return error("not_found", f"host={host!r}; the hosts are: {', '.join(known[:20]) or 'none yet'}")
        under_way = self.recorder.in_flight()
        row = self._row(host, "host", tally or Tally(), under_way)
        row["lines"] = site_rows(tally or Tally())
        row["routes"] = _ranked([self._row(name, "route", one, under_way) for name, one in held.items()], "time", 10)
        return row

    @callback
    def in_flight(self, limit: int = 10) -> list[dict[str, Any]]:
        """Calls under way, oldest first: route, age, stage (pool, wire, body), timeout, line. At most 50."""
        return [in_flight_row(call) for call in self.recorder.in_flight()[: clamp(limit)]]

    @callback
    def slow(self, limit: int = 10) -> list[dict[str, Any]]:
        """The slowest of the last five minutes: of every five seconds ten are kept. At most 50; 10 us each."""
        with self.recorder.reading() as book:
            held = book.slow()
        return [ended_row(call) for call in held[: clamp(limit)]]

    @callback
    def errors(self, limit: int = 10) -> list[dict[str, Any]]:
        """The latest failed calls, newest first: route, kind, exception type, retries, line. 300 are kept, 50 shown."""
        with self.recorder.reading() as book:
            held = book.failed()
        return [ended_row(call) for call in held[: clamp(limit)]]

    def _row(self, name: str, key: str, tally: Tally, under_way: Sequence[Call]) -> dict[str, Any]:
        mine = [call for call in under_way if (call.host if key == "host" else call.route) == name]
        return tally_row(name, key, tally, self._watch.usual_p95(name) if key == "host" else None, mine)


def _ranked(rows: list[dict[str, Any]], sort_by: str, limit: int) -> Any:
    key = _SORTS.get(sort_by)
    if key is None:
        return error("bad_argument", f"sort_by={sort_by!r}; the choices are: {', '.join(_SORTS)}")
    rows.sort(key=lambda row: -(row[key] or 0))
    return rows[: clamp(limit)]
