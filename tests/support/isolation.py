"""Every emission is compared with the catalogue; nothing of an instance outlives its test."""

from __future__ import annotations

import threading

import pytest

from beamlens.application import instances
from beamlens.domains.http_client import taps
from beamlens.probes import inbound, logtap
from beamlens.probes.gc_pauses import pauses
from beamlens.telemetry import bus
from beamlens_supervision.events import observers

_PROBES = {"beamlens-gil-ticker", "beamlens-sampler"}


@pytest.fixture(autouse=True)
def check_events(monkeypatch):
    monkeypatch.setattr(bus, "checking", True)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    for name in ("BEAMLENS_DISABLED", "BEAMLENS_WATCHERS", "BEAMLENS_BUDGET_USD_PER_DAY", "BEAMLENS_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def leaves_nothing_behind():
    yield
    left = list(instances._instances.values())
    for instance in left:
        instance.stop(1.0)
    assert not left, f"an instance was not stopped: {left}"
    assert not logtap.installed(), "the log tap was left installed"
    assert not inbound.listening(), "somebody still listens for requests"
    assert taps.heard() == [], "the methods of HTTP libraries are still wrapped"
    assert observers() == (), "somebody still observes supervisors"
    assert not [t.name for t in threading.enumerate() if t.name in _PROBES and _soon_alive(t)]
    assert not pauses.installed, "the callback of the garbage collector was left installed"


def _soon_alive(thread):
    thread.join(2.0)
    return thread.is_alive()
