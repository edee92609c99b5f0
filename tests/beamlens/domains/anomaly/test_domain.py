from __future__ import annotations

import pytest

from beamlens import Beamlens, ConfigError, Domain, WatcherSpec
from beamlens.domains import AnomalyDomain
from beamlens.domains.sources import Source, Surroundings
from beamlens.evidence import Evidence, Strength
from beamlens.metrics import Metric
from beamlens.testing import check_domain
from tests.beamlens.domains.anomaly.samples import EPOCH, LATENCY

OPTIONS = {"learning_duration_ms": 0, "warm_up_ms": 0}


def unavailable():
    raise OSError("gone")


@pytest.fixture
def domain():
    """One that learned, and escalated: latency and depth rose together."""
    made = AnomalyDomain(**OPTIONS)
    found = Evidence(text="a query waits", cause="slow_query", strength=Strength.CONCLUSIVE)
    sources = {
        "orders": Source(dict, [LATENCY], lambda: ["slowest: order 41"], lambda sensor: [found] * (sensor.value > 100)),
        "queue": Source(dict, (), unavailable, unavailable),
    }
    made.join(Surroundings(lambda: sources, lambda *_args, **_metadata: None))
    for number in range(103):
        values = {"orders": {"latency_ms": 20 if number < 100 else 200}, "queue": {"depth": 5 if number < 100 else 90}}
        made._detector.take(EPOCH + 30 * number, values, {"orders": [LATENCY]})
    return made


@pytest.fixture
def ask(domain):
    return lambda name, *args: domain.callbacks()[f"anomaly_{name}"](*args)


def test_it_keeps_the_contract_before_and_after(domain):
    check_domain(AnomalyDomain())
    check_domain(domain)


def test_alone_it_says_that_it_does_not_run():
    alone = AnomalyDomain()
    assert alone.snapshot()["detector_state"] == "not_running"
    assert "not watched" in alone.snapshot()["_unavailable"]["collection_ms"]
    assert alone.children() == []
    assert alone.callbacks()["anomaly_top"]() == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"z_treshold": 3}, "there is no option 'z_treshold'; the options are: collection_interval_ms, learning_dur"),
        ({"collection_interval_ms": 1}, "collection_interval_ms must be a number of at least 100, not 1"),
        ({"z_threshold": "3"}, "z_threshold must be a number of at least 0, not '3'"),
        ({"cooldown_ms": float("nan")}, "cooldown_ms must be a number"),
        ({"consecutive_required": 0}, "consecutive_required must be a whole number of at least 1, not 0"),
        ({"max_triggers_per_hour": True}, "max_triggers_per_hour must be a whole number of at least 0, not True"),
        ({"auto_trigger": "yes"}, "auto_trigger must be True or False, not 'yes'"),
    ],
)
def test_a_wrong_option_is_named(options, text):
    with pytest.raises(ConfigError, match=text.replace("(", r"\(")):
        Beamlens.start(watchers=[WatcherSpec("anomaly", **options)])


def test_the_defaults_are_those_of_the_original(ask):
    options = AnomalyDomain().callbacks()["anomaly_get_status"]()["options"]
    assert options == {
        "collection_interval_ms": 30_000,
        "learning_duration_ms": 7_200_000,
        "warm_up_ms": 600_000,
        "z_threshold": 3.0,
        "consecutive_required": 3,
        "cooldown_ms": 900_000,
        "history_minutes": 60,
        "auto_trigger": True,
        "max_triggers_per_hour": 3,
        "auto_save_interval_ms": 300_000,
        "read_timeout_ms": 2_000,
    }


def test_the_sensor_says_what_moved_from_where_to_where(domain):
    (sensor,) = domain.all_sensors()
    reading = sensor.detector().update(0.0, 1.0)
    assert reading.active is True
    assert reading.severity == "warning"
    assert "orders.latency_ms rose from 20 to 200 ms" in reading.reason
    assert "queue.depth rose from 5 to 90" in reading.reason
    assert reading.data == {"orders.latency_ms": 200.0, "queue.depth": 90.0}


def test_its_evidence_is_what_moved_and_what_the_owners_say_whoever_of_them_fails(domain):
    texts = [(piece.strength, piece.text.split(" since ")[0]) for piece in domain.evidence(None)]
    assert sorted(texts) == [
        (Strength.CONCLUSIVE, "a query waits"),
        (Strength.CONTEXT, "orders.latency_ms rose from 20 to 200 ms"),
        (Strength.CONTEXT, "orders: slowest: order 41"),
        (Strength.CONTEXT, "queue.depth rose from 5 to 90"),
    ]


def test_state_and_escalations_can_be_asked(ask):
    state = ask("get_state")
    assert state["detector_state"] == "cooldown"
    assert sorted(one["metric"] for one in state["escalation"]["moved"]) == ["depth", "latency_ms"]
    assert ask("escalations") == [state["escalation"]]
    assert [one["direction"] for one in ask("top", 1)] == ["up"]


def test_the_history_of_a_metric_can_be_asked_and_an_unknown_one_is_answered_with_the_choices(ask):
    history = ask("history", "orders.latency_ms")
    assert (history["usual"], history["last"], history["rate"], len(history["departures"])) == (20, 200, False, 1)
    unknown = ask("history", "latency")
    assert unknown == {
        "error": "not_found",
        "message": "metric='latency'; the choices are: orders.latency_ms",
    }
    assert "orders.latency_ms, queue.depth" in ask("history", "x" * 5000)["message"]


def test_the_excerpt_is_what_is_away_and_what_was_told(domain):
    assert len(domain.excerpt(5)) == 3
    assert domain.excerpt(5)[2].startswith("escalated at 2023-11-14T23:04:20+00:00: ")


class Orders(Domain):
    """Orders."""

    name = "orders"
    metrics = (Metric("depth"),)

    def snapshot(self):
        return {"depth": 5}


def test_an_instance_shows_it_every_other_watched_domain_and_not_itself(tmp_path):
    with Beamlens.start(watchers=["anomaly", Orders], state_dir=tmp_path) as lens:
        around = lens.domain("anomaly")._around
        assert list(around.sources()) == ["orders"]
        lens.start_watcher("logger")
        assert list(around.sources()) == ["orders", "logger"]
        lens.stop_watcher("orders")
        assert list(around.sources()) == ["logger"]
        assert "AnomalyStore" in lens.tree()
    assert [path.name for path in tmp_path.glob("anomaly-*.jsonl")] == ["anomaly-beamlens.jsonl"]


def test_its_watcher_can_be_stopped_and_started_again(tmp_path):
    with Beamlens.start(watchers=["anomaly"], state_dir=tmp_path) as lens:
        lens.stop_watcher("anomaly")
        assert "AnomalyStore" not in lens.tree()
        lens.start_watcher("anomaly")
        assert "AnomalyStore" in lens.tree()


def test_without_a_coordinator_it_is_told_that_nobody_could_be_asked():
    from beamlens.application import anomalies
    from beamlens_actors import Registry

    told = []

    class Bus:
        def emit(self, name, sender, **metadata):
            told.append((name, sender, metadata))

    heard = anomalies.connect(Bus(), Registry())
    heard("anomaly.detector.escalation", "anomaly", {}, {})
    heard("anomaly.detector.run_requested", "anomaly", {}, {"reason": "r", "anomalies": "a"})
    reason = "the Coordinator is being restarted"
    assert told == [("anomaly.detector.auto_trigger_failed", "anomaly", {"reason": reason})]
