"""False alarms and delays of the growth sensors that the runtime domain declares, at one value a second."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamlens.detect import Growth
from beamlens.detect.peaks import Peaks
from beamlens.domains.runtime import declared

SENSORS = {sensor.name: sensor for sensor in declared.SENSORS}


def first_active(name, values):
    detector = SENSORS[name].detector()
    return next((second for second, value in enumerate(values) if detector.update(float(second), value).active), None)


def poisson(generator, mean):
    product, count = generator.random(), 0
    while product > math.exp(-mean):
        product *= generator.random()
        count += 1
    return count


def leaked(generator, rate, seconds=60):
    total, values = 0, []
    for _ in range(seconds):
        total += poisson(generator, rate)
        values.append(total)
    return values


def alive(generator, births_per_s, lifetime, seconds):
    """How many of something live, each for an exponentially distributed time, in a balance that is old already."""
    ends = [generator.expovariate(1 / lifetime) for _ in range(int(births_per_s * lifetime))]
    counts = []
    for second in range(seconds):
        born = poisson(generator, births_per_s)
        ends = [end for end in ends if end > second]
        ends += [second + generator.expovariate(1 / lifetime) for _ in range(born)]
        counts.append(len(ends))
    return counts


@pytest.mark.parametrize(
    ("name", "rate", "level"),
    [("memory_growth", 3, 60.0), ("descriptor_growth", 5, 8.0), ("thread_growth", 2, 8.0)],
)
def test_a_leak_is_seen_within_twelve_seconds_after_five_seconds_of_health(name, rate, level):
    at = first_active(name, [level] * 5 + [level + rate * second for second in range(40)])
    assert at is not None
    assert at - 5 <= 12


@pytest.mark.parametrize("warm_up", [20.0, 40.0, 80.0])
def test_a_leak_right_after_a_warm_up_is_seen(warm_up):
    values = [60 + warm_up * (1 - math.exp(-n / 2)) + 3 * max(0, n - 5) for n in range(60)]
    at = first_active("memory_growth", values)
    assert at is not None
    assert at - 5 <= 15


@pytest.mark.parametrize(
    ("name", "rate", "within"), [("descriptor_growth", 5, 14), ("descriptor_growth", 3, 30), ("thread_growth", 2, 30)]
)
@pytest.mark.parametrize("seed", range(15))
def test_an_irregular_leak_is_seen(name, rate, within, seed):
    generator = random.Random(seed)
    at = first_active(name, [20] * 5 + [20 + count for count in leaked(generator, rate)])
    assert at is not None
    assert at - 5 <= within


@pytest.mark.parametrize("rate", [1.0, 1.5, 2.0])
def test_a_slower_leak_is_seen_in_a_longer_past(rate):
    at = first_active("memory_growth", [60 + rate * second for second in range(60)])
    assert at is not None
    assert at <= 40 / rate


@pytest.mark.parametrize("seconds", [1, 3, 5, 8, 10, 12, 15, 20, 30])
def test_pools_of_twenty_and_caches_of_thirty_megabytes_are_warm_ups(seconds):
    def filled(most):
        return [10.0] * 5 + [10.0 + min(most, most * second / seconds) for second in range(120)]

    assert first_active("memory_growth", filled(30.0)) is None
    assert first_active("thread_growth", filled(20)) is None
    assert first_active("descriptor_growth", filled(20)) is None


@pytest.mark.parametrize("seconds", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("megabytes", [50, 100, 400])
def test_imports_that_flatten_are_a_warm_up(seconds, megabytes):
    assert first_active("memory_growth", [30 + megabytes * (1 - math.exp(-n / seconds)) for n in range(120)]) is None


@pytest.mark.parametrize("period", [25, 40, 60])
def test_a_saw_tooth_is_usual_from_its_third_tooth_on(period):
    detector = SENSORS["memory_growth"].detector()
    teeth = [200 + 80 * (second % period) / period for second in range(12 * period)]
    active = [detector.update(float(second), value).active for second, value in enumerate(teeth)]
    assert not any(active[2 * period + 8 :])


def test_a_leak_above_the_usual_saw_tooth_is_seen():
    detector = SENSORS["memory_growth"].detector()
    teeth = [200 + 80 * (second % 30) / 30 for second in range(300)]
    for second, value in enumerate(teeth):
        detector.update(float(second), value)
    readings = [detector.update(300.0 + second, 280.0 + 5 * second).active for second in range(30)]
    assert any(readings)


@pytest.mark.parametrize("deviation", [0.5, 2.0, 5.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_noise_gives_no_alarm_in_an_hour(deviation, seed):
    generator = random.Random(seed)
    assert first_active("memory_growth", [300 + generator.gauss(0, deviation) for _ in range(3600)]) is None


@pytest.mark.parametrize("seed", range(6))
def test_a_random_walk_gives_no_alarm_in_an_hour(seed):
    generator = random.Random(seed)
    level, values = 300.0, []
    for _ in range(3600):
        level = max(50.0, level + generator.gauss(0, 1.0))
        values.append(level)
    assert first_active("memory_growth", values) is None


@pytest.mark.parametrize(("rate", "lifetime"), [(1, 5), (2, 5), (5, 2), (3, 10)])
@pytest.mark.parametrize("seed", range(3))
def test_threads_and_connections_that_come_and_go_give_no_alarm_in_half_an_hour(rate, lifetime, seed):
    counts = alive(random.Random(seed), rate, lifetime, 1800)
    assert first_active("thread_growth", counts) is None
    assert first_active("descriptor_growth", counts) is None


@settings(max_examples=80, deadline=None)
@given(
    level=st.floats(0, 1e5),
    step=st.floats(0, 1e4),
    before=st.integers(0, 60),
    after=st.integers(0, 120),
)
def test_one_step_is_no_growth(level, step, before, after):
    assert first_active("memory_growth", [level] * before + [level + step] * after) is None


@settings(max_examples=80, deadline=None)
@given(values=st.lists(st.floats(0, 1e6), max_size=200))
def test_what_never_rises_is_no_growth(values):
    assert first_active("memory_growth", sorted(values, reverse=True)) is None


@settings(max_examples=60, deadline=None)
@given(rate=st.floats(3, 50), level=st.floats(0, 5000), before=st.integers(0, 30))
def test_any_steady_leak_is_seen_and_its_rate_told(rate, level, before):
    detector = SENSORS["memory_growth"].detector()
    values = [level] * before + [level + rate * second for second in range(14)]
    readings = [detector.update(float(second), value) for second, value in enumerate(values)]
    seen = [reading for reading in readings if reading.active]
    assert seen
    assert seen[-1].data["rate_per_s"] == pytest.approx(rate, rel=0.35)


@settings(max_examples=60, deadline=None)
@given(times=st.lists(st.floats(0, 1e9), max_size=120))
def test_memory_is_bounded_and_times_may_do_as_they_like(times):
    detector = Growth(least=1.0)
    for number, at in enumerate(times):
        reading = detector.update(at, float(number))
        assert reading.active == bool(reading.reason)
        assert len(detector._samples) <= 36


def test_a_clock_that_steps_back_begins_anew_instead_of_going_blind():
    detector = Growth(least=20)
    for second in range(20):
        detector.update(1e6 + second, 100.0)
    assert any(detector.update(float(second), 100.0 + 5 * second).active for second in range(20))


def test_values_that_come_faster_than_the_sensors_read_do_not_shorten_the_window():
    detector = Growth(least=20)
    readings = [detector.update(n / 50, 100.0 + 10 * n).active for n in range(100)]
    assert not any(readings)


def test_one_high_is_an_accident_and_two_are_usual():
    peaks = Peaks(10.0)
    for index, value in enumerate([0, 50, 0, 5, 0]):
        peaks.add(index, value)
    assert peaks.usual(100, 100) is None
    for index, value in enumerate([40, 0], 5):
        peaks.add(index, value)
    assert peaks.usual(100, 100) == 40
    assert peaks.usual(3, 100) is None
    assert peaks.usual(100, 2000) is None
