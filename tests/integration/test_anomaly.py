"""A real process whose own domain says that something has become unusual: without a key, from number to insight."""

from __future__ import annotations

import json
import subprocess
import sys

_PROGRAM = """
import json, random, sys, threading, time
import blinker
from beamlens import Beamlens, Domain, Metric, WatcherSpec

queue, chance, slow = [], random.Random(1), threading.Event()

class Orders(Domain):
    "Watches how long orders take."
    name = "orders"
    metrics = (Metric("latency_ms", "ms", direction="up"), Metric("waiting", "orders"))
    drift = 1.0
    def snapshot(self):
        if slow.is_set():
            self.drift = min(10.0, self.drift + 0.6)
        latency = 20 * self.drift * chance.lognormvariate(0, 0.1)
        return {"latency_ms": latency, "waiting": int(latency / 7)}
    def excerpt(self, limit=5):
        return ["slowest: order 41 in stage payment"]

alerts, insights, heard, done = [], [], [], threading.Event()

def hears(name, into):
    def receiver(sender, **data):
        into.append((name, {k: v for k, v in data.items()}))
        if name == "coordinator.run_stopped":
            done.set()
    blinker.signal("beamlens." + name).connect(receiver, weak=False)

for name in ("watcher.alert_fired", "coordinator.run_stopped", "coordinator.insight_produced",
             "anomaly.detector.learning_complete", "anomaly.detector.escalation", "anomaly.detector.run_requested",
             "anomaly.detector.auto_trigger_started"):
    hears(name, heard)
learned = threading.Event()
blinker.signal("beamlens.anomaly.detector.learning_complete").connect(lambda *a, **k: learned.set(), weak=False)
# As by default, 300 times as fast.
anomaly = WatcherSpec("anomaly", collection_interval_ms=100, learning_duration_ms=12_000, warm_up_ms=1_000,
                      history_minutes=0.2, cooldown_ms=60_000)
with Beamlens.start(watchers=[Orders, anomaly]) as lens:
    assert learned.wait(60)
    %s
    status = lens.domain("anomaly").callbacks()["anomaly_get_status"]()
    top = lens.domain("anomaly").callbacks()["anomaly_top"](5)
    counts = lens.status().inbox._asdict()
    insights = [i.summary for i in lens.insights()]
alerts = [d["alert"] for n, d in heard if n == "watcher.alert_fired"]
print(json.dumps({
    "alerts": [[a.watcher, a.anomaly_type, a.severity, a.observation, a.numbers_verified,
                [e.text for e in a.evidence]] for a in alerts],
    "names": [n for n, _ in heard], "status": status, "top": top, "inbox": counts, "insights": insights}))
"""


def run(body):
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM % body], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


def test_a_latency_that_drifts_up_tenfold_is_one_alert_and_one_run_of_the_coordinator():
    found = run("slow.set(); assert done.wait(60); time.sleep(3)")
    ((watcher, kind, severity, observation, verified, evidence),) = found["alerts"]
    assert (watcher, kind, severity, verified) == ("anomaly", "metric_anomaly", "warning", True)
    assert "orders.latency_ms rose from " in observation
    assert any("slowest: order 41 in stage payment" in text for text in evidence)
    assert found["names"].count("coordinator.run_stopped") == 1
    assert found["names"].count("anomaly.detector.run_requested") == 1
    assert found["names"].count("anomaly.detector.auto_trigger_started") == 1
    assert len(found["insights"]) == 1
    assert "orders.latency_ms rose from " in found["insights"][0]
    assert "not known" in found["insights"][0]


def test_a_process_that_goes_on_as_before_has_no_alert():
    found = run("time.sleep(12)")
    assert found["alerts"] == []
    assert found["status"]["detector_state"] == "active"
    assert found["names"] == ["anomaly.detector.learning_complete"]
