"""Programs that call real servers are watched without a key; the alert names host, kind and line."""

from __future__ import annotations

import contextlib
import inspect
import threading

import blinker
import httpx
import requests

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


def test_a_busy_healthy_program_has_no_alert():
    with web_server() as web:
        gateway = Gateway(web)
        with running(gateway, *[gateway.work] * 4), watched() as (found, produced, lens):
            assert not produced.wait(12.0)
            data = lens.domain("http_client").snapshot()
        assert found["alerts"] == []
        assert (data["count_1m"] > 100, data["error_count_1m"], data["dropped"]) == (True, 0, 0)
        assert data["libraries"][:2] == ["http.client", "urllib3"]
