"""Programs that call real servers are watched without a key; the alert names host, kind and line."""

from __future__ import annotations

import contextlib
import http.client
import inspect
import threading

import blinker
import httpx
import requests
import urllib3

from beamlens import Beamlens
from tests.support.web import web_server


class Gateway:
    """What the program calls."""

    def __init__(self, web):
        self.web = web
        self.over = threading.Event()

    def charge(self):
        return requests.get(self.web.url("/ok/charges/17?token=secret"), timeout=5).status_code

    def export(self):
        with contextlib.suppress(requests.RequestException):
            requests.get(self.web.url("/hang"))

    def work(self):
        with httpx.Client() as client:
            while not self.over.wait(0.05):
                self.charge()
                client.get(self.web.url("/ok/prices"))

    def report(self, pool):
        return pool.urlopen("GET", "/halt", preload_content=False)

    def wait_in_line(self, pool):
        while not self.over.wait(0.05):
            with contextlib.suppress(urllib3.exceptions.EmptyPoolError):
                pool.urlopen("GET", "/ok/prices", pool_timeout=3)

    def charges_only(self):
        while not self.over.wait(0.05):
            self.charge()


@contextlib.contextmanager
def running(gateway, *bodies):
    threads = [threading.Thread(target=body) for body in bodies]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        gateway.over.set()
        gateway.web.released.set()
        for thread in threads:
            thread.join(30.0)


@contextlib.contextmanager
def watched(**options):
    found, produced = {"alerts": [], "insights": []}, threading.Event()

    def on_alert(_sender, *, alert, **_metadata):
        found["alerts"].append(alert)

    def on_insight(_sender, *, insight, **_metadata):
        found["insights"].append(insight)
        produced.set()

    blinker.signal("beamlens.watcher.alert_fired").connect(on_alert)
    blinker.signal("beamlens.coordinator.insight_produced").connect(on_insight)
    with Beamlens.start(watchers=[{"name": "http_client", **options}]) as lens:
        yield found, produced, lens


def line_of(function, text):
    lines, first = inspect.getsourcelines(function)
    return first + next(index for index, line in enumerate(lines) if text in line)


def test_a_dependency_that_begins_to_fail_is_named_with_the_line_that_calls_it():
    with web_server() as web:
        gateway = Gateway(web)
        with running(gateway, gateway.charges_only, gateway.charges_only), watched() as (found, produced, _lens):
            assert not produced.wait(5.0)
            web.server.broken.set()
            assert produced.wait(45.0)
        (insight,) = found["insights"]
        place = f"test_outgoing_calls.py:{line_of(Gateway.charge, 'requests.get')} in Gateway.charge"
        assert place in insight.root_cause_hypothesis
        assert insight.root_cause_hypothesis.startswith("A failing dependency at ")
        assert f"calls to {web.name} failed" in insight.root_cause_hypothesis
        assert "answered with status 5xx" in insight.root_cause_hypothesis
        assert insight.confidence == "high"
        assert [alert.anomaly_type for alert in found["alerts"]] == ["outgoing_errors"]
        assert "secret" not in str(found)


def test_a_call_that_hangs_without_a_timeout_is_named_with_its_line():
    with web_server() as web:
        gateway = Gateway(web)
        with watched(stuck_after=1.0) as (found, produced, _lens), running(gateway, gateway.export):
            assert produced.wait(45.0)
        (insight,) = found["insights"]
        assert f"test_outgoing_calls.py:{line_of(Gateway.export, 'requests.get')}" in insight.root_cause_hypothesis
        assert "no timeout is set on 1 of them, so they may hang for ever" in insight.root_cause_hypothesis
        assert found["alerts"][0].anomaly_type == "hanging_call"


def test_a_host_that_becomes_slow_is_named_with_the_route_and_the_line():
    with web_server() as web:
        gateway = Gateway(web)
        with running(gateway, gateway.charges_only, gateway.charges_only), watched() as (found, produced, _lens):
            assert not produced.wait(15.0)
            web.server.slow.set()
            assert produced.wait(60.0)
        (insight,) = found["insights"]
        assert f"test_outgoing_calls.py:{line_of(Gateway.charge, 'requests.get')}" in insight.root_cause_hypothesis
        assert f"GET {web.name}/ok/charges/{{id}}" in insight.root_cause_hypothesis
        assert {alert.anomaly_type for alert in found["alerts"]} == {"outgoing_latency"}


def test_a_pool_whose_connections_are_never_given_back_is_named_with_the_line_that_keeps_them():
    with web_server() as web, urllib3.HTTPConnectionPool("127.0.0.1", web.port, maxsize=2, block=True) as pool:
        gateway = Gateway(web)
        with watched() as (found, produced, _lens):
            kept = [gateway.report(pool) for _ in range(2)]
            with running(gateway, lambda: gateway.wait_in_line(pool)):
                assert produced.wait(60.0)
        for response in kept:
            response.close()
        (insight,) = found["insights"]
        assert insight.root_cause_hypothesis.startswith("A pool of HTTP connections that has none left at ")
        place = f"test_outgoing_calls.py:{line_of(Gateway.report, 'pool.urlopen')} in Gateway.report"
        assert place in insight.root_cause_hypothesis


def test_two_that_watch_one_program_each_count_each_call_once_and_stop_in_any_order():
    with web_server() as web:
        gateway = Gateway(web)
        before = http.client.HTTPConnection.putrequest
        one, other = (Beamlens.start(name=name, watchers=["http_client"]) for name in ("one", "other"))
        gateway.charge()
        assert [lens.domain("http_client").snapshot()["count_1m"] for lens in (one, other)] == [1, 1]
        one.stop()
        gateway.charge()
        assert other.domain("http_client").snapshot()["count_1m"] == 2
        other.stop()
        assert http.client.HTTPConnection.putrequest is before


def test_a_busy_healthy_program_has_no_alert():
    with web_server() as web:
        gateway = Gateway(web)
        with running(gateway, *[gateway.work] * 4), watched() as (found, produced, lens):
            assert not produced.wait(12.0)
            data = lens.domain("http_client").snapshot()
        assert found["alerts"] == []
        assert (data["count_1m"] > 100, data["error_count_1m"], data["dropped"]) == (True, 0, 0)
        assert data["libraries"][:2] == ["http.client", "urllib3"]
