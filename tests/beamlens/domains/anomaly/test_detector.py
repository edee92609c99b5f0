from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamlens.domains.anomaly.detector import MOST_SERIES, Detector
from beamlens.domains.anomaly.options import Options
from beamlens.metrics import Metric
from tests.beamlens.domains.anomaly.samples import LATENCY, Feeding, noisy

ESCALATED = ["escalation", "run_requested", "cooldown_started"]


def test_it_learns_for_two_hours_then_watches():
    feeding = Feeding(LATENCY)
    assert feeding.many(240, latency_ms=noisy(20)) == []
    assert feeding.many(1, latency_ms=20.0) == ["learning_complete"]
    assert feeding.detector.state == "active"
    assert feeding.said[0].measurements == {"elapsed_ms": 7_200_000.0}


def test_learning_outlasts_what_is_kept_of_it():
    """History (60 minutes) is shorter than learning (2 hours): the first hour counts all the same."""
    feeding = Feeding(LATENCY, Metric("batch", direction="up"))
    feeding.many(100, latency_ms=noisy(20), batch=0)
    feeding.many(5, latency_ms=noisy(20), batch=1)
    feeding.learn(latency_ms=noisy(20), batch=0)
    assert feeding.many(5, latency_ms=noisy(20), batch=1).count("escalation") == 0
    assert feeding.many(5, latency_ms=noisy(20), batch=50).count("escalation") == 1


def test_a_tenfold_latency_is_told_at_the_third_collection_in_a_row_and_once():
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20))
    high = noisy(200, seed=1)
    assert feeding.one(latency_ms=high()) == ["anomaly_detected"]
    assert feeding.one(latency_ms=high()) == []
    assert feeding.one(latency_ms=high()) == ESCALATED
    (moved,) = feeding.detector.incident.moved
    assert (moved.domain, moved.metric, moved.direction, moved.severity) == ("orders", "latency_ms", "up", "warning")
    assert moved.usual == pytest.approx(20, rel=0.1)
    assert moved.value == pytest.approx(200, rel=0.5)
    assert moved.consecutive == 3
    assert "orders.latency_ms rose from" in feeding.detector.incident.sentence()
    assert feeding.many(29, latency_ms=high) == []
    assert feeding.one(latency_ms=high()) == ["cooldown_complete"]
    assert feeding.many(500, latency_ms=high) == []


def test_a_slow_drift_to_the_tenfold_is_told_once():
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20))
    noise = noisy(1)
    said = []
    for step in range(60):
        said += feeding.one(latency_ms=20 * (1 + 9 * step / 60) * noise())
    assert said.count("escalation") == 1


def test_after_the_cooldown_another_trouble_is_told():
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20), depth=noisy(5))
    feeding.many(3, latency_ms=noisy(200), depth=noisy(5))
    assert feeding.many(15, latency_ms=noisy(20), depth=noisy(5)) == []
    assert feeding.many(14, latency_ms=noisy(20), depth=noisy(90)) == ["anomaly_detected"]
    assert feeding.one(latency_ms=20.0, depth=90.0) == ["cooldown_complete", *ESCALATED]
    assert [one.metric for one in feeding.detector.incident.moved] == ["depth"]


def test_the_escalation_passes_when_its_metrics_are_back():
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20))
    feeding.many(3, latency_ms=noisy(200))
    assert feeding.detector.incident is not None
    feeding.many(2, latency_ms=20.0)
    assert feeding.detector.incident is not None
    feeding.many(1, latency_ms=20.0)
    assert feeding.detector.incident is None
    assert feeding.detector.state == "cooldown"


def test_a_metric_that_never_moved_and_moves_is_an_anomaly():
    feeding = Feeding()
    feeding.learn(failures=0)
    assert feeding.many(3, failures=500) == ["anomaly_detected", *ESCALATED]
    assert feeding.detector.incident.moved[0].severity == "warning"


def test_a_single_outlier_is_no_trouble():
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20))
    assert feeding.many(1, latency_ms=900.0) == ["anomaly_detected"]
    assert feeding.many(100, latency_ms=noisy(20, seed=2)).count("escalation") == 0


def test_collections_in_a_row_are_counted_for_each_metric():
    """Three metrics that are off once each in turn are not one that is off three times."""
    feeding = Feeding()
    feeding.learn(a=0, b=0, c=0)
    said = feeding.one(a=9, b=0, c=0) + feeding.one(a=0, b=9, c=0) + feeding.one(a=0, b=0, c=9)
    assert said == ["anomaly_detected"] * 3


def test_a_burst_that_hits_three_metrics_is_one_escalation():
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20), depth=noisy(5), failures=0)
    said = feeding.many(40, latency_ms=noisy(300), depth=noisy(200), failures=30)
    assert said.count("escalation") == 1
    assert said.count("run_requested") == 1
    assert sorted(one.metric for one in feeding.detector.incidents[0].moved) == ["depth", "failures", "latency_ms"]


@pytest.mark.parametrize(
    ("metric", "normal", "odd", "told"),
    [
        (Metric("m", high=1000.0), 100, 400, True),
        (Metric("m", high=1000.0), 100, 5, False),
        (Metric("m", low=1.0), 100, 5, True),
        (Metric("m", low=1.0), 100, 400, False),
        (Metric("m", low=1.0, high=1000.0), 100, 5, True),
        (Metric("m", low=1.0, direction="up"), 100, 5, False),
        (Metric("m"), 100, 400, True),
        (Metric("m"), 100, 5, True),
        (Metric("m", direction="none"), 100, 400, False),
    ],
)
def test_only_the_harmful_direction_is_told_where_it_is_declared(metric, normal, odd, told):
    feeding = Feeding(metric)
    feeding.learn(m=noisy(normal))
    assert ("escalation" in feeding.many(10, m=noisy(odd, seed=1))) is told


@pytest.mark.parametrize(("among", "told"), [(11, False), (300, True), (0, False)])
def test_a_share_of_few_is_an_accident(among, told):
    feeding = Feeding(
        Metric("error_pct", "%", direction="up", matters=5, of="calls"), Metric("calls", direction="none")
    )
    feeding.learn(error_pct=0.0, calls=among)
    assert ("escalation" in feeding.many(10, error_pct=9.1, calls=among)) is told


def test_what_nobody_declared_harmful_is_told_only_when_it_moved_far():
    feeding = Feeding()
    feeding.learn(level=noisy(100, sigma=0.05))
    assert feeding.many(20, level=noisy(150, sigma=0.05)) == ["anomaly_detected"]
    assert [(one.metric, one.severity) for one in feeding.detector.away()] == [("level", "info")]


def test_beyond_its_critical_bound_it_is_critical():
    feeding = Feeding(Metric("m", high=300, critical=350))
    feeding.learn(m=noisy(100))
    feeding.many(3, m=400.0)
    assert feeding.detector.incident.severity == "critical"


@pytest.mark.parametrize("gap", [None, "12", True, math.nan, math.inf, [], {}, 10**400])
def test_what_is_no_number_is_a_gap_and_never_zero(gap):
    feeding = Feeding(Metric("m", low=1.0))
    feeding.learn(m=noisy(100))
    before = feeding.detector.series()[0].state()
    assert feeding.many(50, m=gap) == []
    assert feeding.detector.series()[0].state() == before


def test_a_bad_value_while_it_learns_does_not_hide_a_trouble_later():
    feeding = Feeding(LATENCY)
    feeding.many(60, latency_ms=noisy(20))
    feeding.many(1, latency_ms=1e12)
    feeding.learn(latency_ms=noisy(20))
    feeding.many(1000, latency_ms=noisy(20))
    assert "escalation" in feeding.many(10, latency_ms=noisy(400))


def test_two_collections_at_the_same_moment_are_both_taken():
    feeding = Feeding(LATENCY)
    for value in (1.0, 2.0):
        feeding.detector.take(feeding.now, {"orders": {"latency_ms": value}}, {})
    assert feeding.detector.series()[0].values_in_baseline == 2


def test_a_metric_that_stays_elsewhere_is_usual_there_after_the_learning_time():
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20))
    feeding.many(250, latency_ms=noisy(200))
    assert feeding.detector.away() == ()
    assert feeding.detector.series()[0].baseline().middle == pytest.approx(200, rel=0.1)


# -- counters --------------------------------------------------------------------------------------------------


def test_a_declared_counter_is_watched_as_a_rate():
    feeding = Feeding(Metric("sent", "bytes", kind="counter"))
    total, chance = 0.0, noisy(3000)

    def grow(factor=1.0):
        nonlocal total
        total += factor * chance()
        return total

    feeding.learn(sent=grow)
    assert feeding.many(1000, sent=grow).count("escalation") == 0
    assert feeding.many(3, sent=lambda: grow(20)).count("escalation") == 1
    (moved,) = feeding.detector.incident.moved
    assert moved.rate is True
    assert moved.unit == "bytes/s"
    assert moved.usual == pytest.approx(100, rel=0.2)
    assert moved.sentence().startswith("the rate of orders.sent rose from ")


def test_a_counter_is_known_by_what_it_does_and_its_growth_is_no_anomaly():
    feeding = Feeding()
    total, chance = 0, noisy(50)

    def collections():
        nonlocal total
        total += int(chance())
        return total

    feeding.learn(gc_collections=collections)
    assert feeding.many(2000, gc_collections=collections).count("escalation") == 0
    assert feeding.detector.series()[0].rate is True


def test_a_counter_that_begins_again_is_a_gap():
    feeding = Feeding(Metric("sent", kind="counter"))
    total = 0

    def grow():
        nonlocal total
        total += 100
        return total

    feeding.learn(sent=grow)
    total = 0
    assert feeding.many(100, sent=grow) == []
    assert feeding.detector.series()[0].last == pytest.approx(100 / 30)


def test_a_gauge_that_only_grew_for_a_while_is_a_gauge_again_when_it_falls_a_little():
    feeding = Feeding()
    feeding.many(50, m=iter(range(50)).__next__)
    assert feeding.detector.series()[0].rate is True
    feeding.many(1, m=45)
    assert feeding.detector.series()[0].rate is False
    assert feeding.detector.series()[0].last == 45


# -- flapping, triggers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [5, 10, 30])
def test_a_metric_that_flaps_between_two_levels_is_told_once(minutes):
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20))
    low, high, said = noisy(20, seed=1), noisy(400, seed=2), []
    for _ in range(24):
        said += feeding.many(2 * minutes, latency_ms=high) + feeding.many(2 * minutes, latency_ms=low)
    assert said.count("escalation") == 1


def test_one_that_flaps_ever_higher_is_told_ever_more_rarely():
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20))
    low, told = noisy(20, seed=1), []
    for step in range(1, 9):  # every 20 minutes
        said = feeding.many(8, latency_ms=noisy(20 * 10**step, seed=2)) + feeding.many(32, latency_ms=low)
        told.append(said.count("escalation"))
    assert told == [1, 1, 0, 1, 0, 0, 1, 0]
    assert feeding.detector.counts()["alarms_suppressed"] == 4


def test_at_most_three_runs_an_hour_are_asked_for_and_the_hour_slides():
    feeding = Feeding(cooldown_ms=0)
    names = [f"m{number}" for number in range(6)]
    feeding.learn(**dict.fromkeys(names, 0))
    values = dict.fromkeys(names, 0)
    said = []
    for name in names[:5]:
        values[name] = 9
        said += feeding.many(10, **values)
    assert said.count("escalation") == 5
    assert said.count("run_requested") == 3
    assert said.count("trigger_rate_limited") == 2
    feeding.many(120, **values)
    values[names[5]] = 9
    assert "run_requested" in feeding.many(10, **values)


def test_the_runs_of_the_last_hour_survive_a_restart():
    feeding = Feeding(Metric("a", direction="up"), Metric("b", direction="up"), max_triggers_per_hour=1, cooldown_ms=0)
    feeding.learn(a=0, b=0)
    assert "run_requested" in feeding.many(3, a=9, b=0)
    feeding.restart()
    feeding.many(1, a=9, b=0)
    assert "trigger_rate_limited" in feeding.many(10, a=9, b=9)


def test_without_auto_trigger_no_run_is_asked_for():
    feeding = Feeding(auto_trigger=False)
    feeding.learn(a=0)
    assert feeding.many(3, a=9) == ["anomaly_detected", "escalation", "cooldown_started"]


# -- a restart -------------------------------------------------------------------------------------------------


def test_a_restart_goes_on_with_what_was_learned():
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20))
    feeding.restart()
    assert feeding.detector.state == "active"
    assert "escalation" in feeding.many(3, latency_ms=noisy(300))


def test_a_restart_in_cooldown_stays_in_it():
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20))
    feeding.many(3, latency_ms=noisy(300))
    feeding.restart()
    assert feeding.detector.state == "cooldown"
    assert feeding.many(40, latency_ms=noisy(20)).count("cooldown_complete") == 1


def test_the_first_minutes_of_a_process_are_no_anomaly():
    feeding = Feeding(LATENCY, warm_up_ms=600_000)
    feeding.learn(latency_ms=noisy(20))
    feeding.restart()
    assert feeding.many(15, latency_ms=noisy(300)) == []
    assert feeding.many(100, latency_ms=noisy(20)) == []


def test_a_deploy_that_makes_things_worse_from_its_first_second_is_told_after_the_warm_up():
    feeding = Feeding(LATENCY, warm_up_ms=600_000)
    feeding.learn(latency_ms=noisy(20), cached=noisy(5000))
    feeding.many(40, latency_ms=noisy(20), cached=noisy(5000))
    feeding.restart()
    assert feeding.many(19, latency_ms=noisy(300), cached=noisy(5)) == []
    assert feeding.many(10, latency_ms=noisy(300), cached=noisy(5)).count("escalation") == 1
    severities = {one.metric: one.severity for one in feeding.detector.incident.moved}
    assert severities == {"latency_ms": "warning", "cached": "info"}


def test_a_cache_that_is_empty_after_a_deploy_wakes_nobody():
    feeding = Feeding(LATENCY, warm_up_ms=600_000)
    feeding.learn(latency_ms=noisy(20), cached=noisy(5000))
    feeding.restart()
    assert feeding.many(200, latency_ms=noisy(20), cached=noisy(5)).count("escalation") == 0


def test_what_it_keeps_is_json_and_goes_on_exactly():
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20), n=noisy(3))
    states = [json.loads(json.dumps(series.state())) for series in feeding.detector.series()]
    header = json.loads(json.dumps(feeding.detector.header()))
    other = Detector(feeding.detector.options)
    other.restore(header, states)
    assert json.loads(json.dumps([series.state() for series in other.series()])) == states
    assert other.header() == {**header, "saved_at": None}


@pytest.mark.parametrize("damage", [{"learned": "x"}, {"triggers": None}, {"state": "odd"}, {"learned": math.nan}])
def test_a_damaged_state_is_refused_and_nothing_of_it_is_taken(damage):
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20))
    other = Detector(feeding.detector.options)
    with pytest.raises(ValueError, match="damaged"):
        other.restore({**feeding.detector.header(), **damage}, [series.state() for series in feeding.detector.series()])
    assert (other.state, other.series(), other.learned) == ("learning", [], 0.0)


# -- bounds ----------------------------------------------------------------------------------------------------


def test_the_number_of_metrics_is_bounded_and_those_that_are_gone_are_forgotten():
    feeding = Feeding()
    feeding.one(**{f"m{number}": 1 for number in range(MOST_SERIES + 50)})
    assert len(feeding.detector.series()) == MOST_SERIES
    assert feeding.detector.refused == 50
    feeding.now += 90_000
    feeding.one(m0=1)
    feeding.one(other=1)
    assert sorted(one.metric.name for one in feeding.detector.series()) == ["m0", "other"]


@pytest.mark.parametrize(("interval", "values"), [(30_000, 120), (1_000, 2000), (10_000, 360), (600_000, 10)])
def test_a_baseline_has_an_hour_of_values_whatever_the_interval(interval, values):
    assert Options(collection_interval_ms=interval).history == values


value = st.one_of(
    st.none(), st.floats(), st.integers(-(10**6), 10**6), st.just(10**400), st.text(max_size=2), st.booleans()
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.fixed_dictionaries({"a": value, "b": value}), max_size=120),
    kind=st.sampled_from(["gauge", "counter"]),
    steps=st.lists(st.floats(-1e5, 1e5), max_size=120),
)
def test_whatever_it_is_fed_cooldown_and_limit_hold(rows, kind, steps):
    options = Options(learning_duration_ms=0, warm_up_ms=0, consecutive_required=1, z_threshold=0, cooldown_ms=60_000)
    detector = Detector(options)
    now, escalated, asked = 1e9, [], []
    for index, row in enumerate(rows):
        now += steps[index] if index < len(steps) else 30
        names = [said.name for said in detector.take(now, {"d": row}, {"d": [Metric("a", kind=kind)]})]
        escalated += [now] * ("anomaly.detector.escalation" in names)
        asked += [now] * ("anomaly.detector.run_requested" in names)
        json.dumps([moved.view() for moved in detector.away()], allow_nan=False)
        json.dumps([series.state() for series in detector.series()], allow_nan=False)
    assert len(detector.incidents) == min(len(escalated), 20)
    assert all(sum(0 <= one - other < 3600 for other in asked) <= 3 for one in asked)


def test_a_restored_metric_that_is_now_declared_a_counter_is_one_from_then_on():
    feeding = Feeding()
    feeding.learn(sent=noisy(20))
    feeding.restart()
    feeding.declared = {"orders": (Metric("sent", "bytes", kind="counter"),)}
    feeding.many(2, sent=iter((100, 400)).__next__)
    (series,) = feeding.detector.series()
    assert (series.rate, series.last, series.metric.unit) == (True, 10.0, "bytes")
