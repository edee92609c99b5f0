from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamlens.detect import Growth, Sensor, SensorBank, Shift, Threshold
from beamlens.metrics import Metric


def first_active(detector, values):
    """Index of the first value at which it is active, one value a second."""
    for second, value in enumerate(values):
        if detector.update(float(second), value).active:
            return second
    return None


def memory():
    return Growth(least=32, unit="MB", what="memory")


@pytest.mark.parametrize("rate", [3, 5, 10])
def test_a_steady_leak_is_seen_within_twelve_seconds_of_its_begin(rate):
    at = first_active(memory(), [100.0] * 5 + [100.0 + rate * n for n in range(40)])
    assert at is not None
    assert at - 5 <= 12


@pytest.mark.parametrize(
    "values",
    [
        [100.0] * 120,
        [100.0] * 30 + [160.0] * 60,
        [100.0 + 40 * ((n % 8) / 8) for n in range(150)],
        [100.0 + 60 * (1 - math.exp(-n / 2)) for n in range(60)],
        [100.0] * 5 + [min(130.0, 100.0 + 6 * n) for n in range(60)],
        [100.0] * 5 + [min(130.0, 100.0 + 3 * n) for n in range(60)],
        [100.0] * 5 + [min(130.0, 100.0 + 2 * n) for n in range(60)],
        [100.0 - n for n in range(60)],
    ],
    ids=["flat", "one step", "saw-tooth", "warm-up", "cache filled in 5 s", "in 10 s", "in 15 s", "shrinks"],
)
def test_what_is_no_leak_is_not_called_one(values):
    assert first_active(memory(), values) is None


@pytest.mark.parametrize("seed", range(20))
def test_noise_around_a_level_is_not_growth(seed):
    generator = random.Random(seed)
    assert first_active(memory(), [200.0 + generator.gauss(0, 10) for _ in range(600)]) is None


@pytest.mark.parametrize("seed", range(20))
def test_a_noisy_leak_is_still_seen(seed):
    generator = random.Random(seed)
    values = [200.0 + 4 * n + generator.gauss(0, 2) for n in range(60)]
    assert first_active(memory(), values) is not None


def test_growth_tells_rate_and_the_time_to_its_limit():
    detector = Growth(least=20, unit="MB", what="memory", limit=lambda: 400.0)
    for second in range(20):
        reading = detector.update(float(second), 100.0 + 5 * second)
    assert reading.data["rate_per_s"] == pytest.approx(5.0)
    assert reading.data["seconds_to_limit"] == pytest.approx(41.0)
    assert reading.severity == "critical"
    assert reading.reason == (
        "memory grew steadily from 155 to 195 MB in 8 s (5 MB/s); at this pace the limit of 400 MB is reached in "
        "about 41 seconds"
    )


def test_growth_ends_when_it_stops():
    detector = memory()
    first_active(detector, [100.0 + 5 * n for n in range(20)])
    readings = [detector.update(20.0 + n, 195.0) for n in range(15)]
    assert not readings[-1].active


def test_slow_growth_is_seen_in_medians_of_minutes():
    detector = Growth(least=16, least_share=0.03, unit="MB", bucket=60, window=11)
    at = first_active(detector, [300.0 + 2.0 * n / 60 for n in range(3600)])
    assert at is not None
    assert at < 20 * 60


def test_a_threshold_must_last_and_leaves_with_hysteresis():
    detector = Threshold(Metric("depth", "orders", high=100, critical=500), lasting=3.0)
    readings = [detector.update(float(n), value).active for n, value in enumerate([150, 150, 150, 150, 97, 94])]
    assert readings == [False, False, False, True, True, False]


def test_a_threshold_tells_critical_from_high_and_knows_lower_bounds():
    detector = Threshold(Metric("free", high=None, low=5), lasting=0.0)
    assert detector.update(0.0, 4).active
    worse = Threshold(Metric("depth", high=100, critical=500), lasting=0.0)
    assert worse.update(0.0, 600).severity == "critical"
    assert worse.update(1.0, 200).severity == "warning"


def burst():
    return Shift(least=2.5, ratio=3.0, recent=5)


def test_a_burst_is_seen_from_the_first_seconds_on():
    assert first_active(burst(), [0.0] * 4 + [5.0] * 10) is not None


@pytest.mark.parametrize(
    "values",
    [
        [0.0] * 60 + [1.0] + [0.0] * 60,
        [0.0] * 20 + [9.0, 9.0] + [0.0] * 60,
        [1.0, 0.0, 2.0, 0.0] * 60,
    ],
)
def test_single_errors_and_usual_noise_are_no_burst(values):
    assert first_active(burst(), values) is None


def test_a_level_that_stays_becomes_the_baseline():
    detector = Shift(least=2.5, recent=5, adopt_after=60.0)
    states = [detector.update(float(n), value).active for n, value in enumerate([0.0] * 20 + [10.0] * 200)]
    assert any(states)
    assert not states[-1]


def test_what_has_been_so_from_the_beginning_is_not_said_to_have_risen():
    detector = Shift(least=2.5, recent=5, adopt_after=600.0, unit="errors/s", what="the rate")
    readings = [detector.update(float(second), 8.0) for second in range(200)]
    assert readings[5].reason == "the rate is 8 errors/s; what is usual is not known yet"
    assert "baseline" not in readings[5].data
    assert not readings[-1].active
    later = [detector.update(200.0 + n, 80.0) for n in range(10)]
    assert later[-1].reason == "the rate rose to 80 errors/s from a usual 8 errors/s"


def test_negative_bounds_are_left_with_hysteresis_too():
    detector = Threshold(Metric("charge", low=-10.0), lasting=0.0)
    assert [detector.update(float(n), value).active for n, value in enumerate([-9.8, -10, -9.8, -9.4])] == [
        False, True, True, False,
    ]  # fmt: skip


@settings(max_examples=60)
@given(st.lists(st.floats(-1e12, 1e12), max_size=80))
def test_any_numbers_are_taken(values):
    for detector in (memory(), burst(), Threshold(Metric("x", high=1.0))):
        for second, value in enumerate(values):
            reading = detector.update(float(second), value)
            assert reading.active == bool(reading.reason)


class Broken:
    def update(self, _timestamp, _value):
        raise ZeroDivisionError


def test_the_bank_tells_what_became_active_and_since_when():
    bank = SensorBank([Sensor("high", "depth", lambda: Threshold(Metric("depth", high=10), 2.0), "depth_high")])
    assert bank.feed(0.0, {"depth": 20}) == []
    (new,) = bank.feed(2.0, {"depth": 20})
    assert (new.name, new.anomaly_type, new.since, new.value) == ("high", "depth_high", 2.0, 20.0)
    assert bank.feed(3.0, {"depth": 30}) == []
    (active,) = bank.active()
    assert (active.since, active.value) == (2.0, 30.0)
    bank.feed(4.0, {"depth": None})
    assert bank.active() == (active,)
    bank.feed(5.0, {"depth": 1})
    assert bank.active() == ()


def test_a_detector_that_raises_is_taken_out_and_the_others_go_on(caplog):
    bank = SensorBank(
        [Sensor("broken", "depth", Broken), Sensor("high", "depth", lambda: Threshold(Metric("depth", high=1), 0.0))]
    )
    assert [state.name for state in bank.feed(0.0, {"depth": 5})] == ["high"]
    assert bank.names() == ("high",)
    assert "sensor broken failed" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "many", None, 10**400])
def test_what_is_no_finite_number_is_skipped(value):
    bank = SensorBank([Sensor("high", "depth", lambda: Threshold(Metric("depth", high=1), 0.0))])
    bank.feed(0.0, {"depth": 5})
    assert bank.feed(1.0, {"depth": value}) == []
    assert [state.value for state in bank.active()] == [5.0]
    assert bank.failed() == {}


def test_a_detector_that_cannot_be_made_does_not_keep_the_others_from_working(caplog):
    def broken():
        raise LookupError("no such limit")

    bank = SensorBank([Sensor("broken", "depth", broken), Sensor("growth", "depth", lambda: Growth(least=1))])
    assert bank.names() == ("growth",)
    assert bank.failed() == {"broken": "LookupError: no such limit"}
    assert "sensor broken failed" in caplog.text
