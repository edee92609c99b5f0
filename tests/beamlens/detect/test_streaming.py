"""The detector that learns what is usual while it watches."""

import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamlens.detect import StreamingDetector

MINUTES = 300.0
numbers = st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0])


def feed(detector, values, start=0.0):
    return [detector.update(start + MINUTES * index, value) for index, value in enumerate(values)]


def noise(count, seed=1, mean=100.0, spread=5.0):
    chance = random.Random(seed)
    return [chance.gauss(mean, spread) for _ in range(count)]


@given(st.lists(st.tuples(st.floats(-1e12, 1e12), numbers), max_size=120))
@settings(deadline=None)
def test_a_score_is_always_between_0_and_1_whatever_comes(rows):
    detector = StreamingDetector()
    for at, value in rows:
        assert 0.0 <= detector.update(at, value) <= 1.0
        assert 0.0 <= detector.surprise <= 1.0
    json.dumps(detector.state(), allow_nan=False)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=150), st.integers(0, 150))
@settings(deadline=None, max_examples=50)
def test_a_detector_made_from_the_state_goes_on_exactly_as_the_first_would(values, cut):
    first = StreamingDetector()
    feed(first, values[:cut])
    second = StreamingDetector.from_state(json.loads(json.dumps(first.state())))
    rest = values[cut:]
    assert feed(first, rest, start=1e6) == feed(second, rest, start=1e6)
    assert first.state() == second.state()


@given(st.lists(st.floats(-1e6, 1e6), min_size=60, max_size=100), st.lists(st.floats(-1e6, 1e6), max_size=20))
@settings(deadline=None, max_examples=30)
def test_a_score_depends_on_nothing_that_comes_later(values, later):
    assert feed(StreamingDetector(), values + later)[: len(values)] == feed(StreamingDetector(), values)


def test_a_constant_that_moves_is_an_anomaly():
    detector = StreamingDetector()
    assert set(feed(detector, [0.0] * 500)) == {0.0}
    assert detector.update(MINUTES * 500, 500.0) >= 0.35


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_a_spike_is_found_at_once_whatever_the_unit(scale):
    detector = StreamingDetector()
    feed(detector, [value * scale for value in noise(1000)])
    assert detector.update(MINUTES * 1000, 400.0 * scale) >= 0.35


def test_a_level_that_shifts_mildly_is_found_before_as_many_values_as_the_faster_level_has():
    detector = StreamingDetector()
    feed(detector, noise(1000))
    scores = feed(detector, noise(30, seed=2, mean=120.0), start=1000 * MINUTES)
    assert max(scores) >= 0.35


def test_a_metric_that_falls_silent_is_unusual():
    detector = StreamingDetector()
    feed(detector, noise(2000))
    quiet = [100.0] * 200
    surprises = []
    for index, value in enumerate(quiet):
        detector.update((2000 + index) * MINUTES, value)
        surprises.append(detector.surprise)
    assert max(surprises) > 0.2


def test_what_comes_every_day_at_this_hour_is_no_surprise_after_some_days():
    detector, per_day = StreamingDetector(), 288
    chance = random.Random(3)
    day = [100.0 + (300.0 if 108 <= index < 132 else 0.0) for index in range(per_day)]
    values = [value + chance.gauss(0, 3) for _ in range(14) for value in day]
    scores = feed(detector, values)
    assert max(scores[7 * per_day :]) < 0.35


def test_one_trouble_is_told_once_until_something_worse_or_enough_time_comes():
    detector = StreamingDetector(rest=50)
    feed(detector, noise(1000))
    scores = feed(detector, [400.0] * 40, start=1000 * MINUTES)
    told = [score for score in scores if score > 0]
    assert told == sorted(told)
    assert len(told) <= 4
    assert detector.surprise >= 0.0


def test_gaps_teach_nothing():
    with_gaps, without = StreamingDetector(), StreamingDetector()
    values = noise(200)
    for index, value in enumerate(values):
        without.update(index * MINUTES, value)
        with_gaps.update(index * MINUTES, value)
        assert with_gaps.update(index * MINUTES, math.nan) == 0.0
    assert with_gaps.state() == without.state()


absurd = st.sampled_from([1e300, -1e300, 1e150, math.inf, -math.inf, math.nan, 1e30, -1e18, 1e12])


@given(
    st.integers(0, 5), st.lists(st.tuples(st.integers(0, 600), absurd), max_size=2), st.sampled_from([1e-6, 1.0, 1e9])
)
@settings(deadline=None, max_examples=60)
def test_absurd_values_make_nothing_deaf(seed, glitches, scale):
    detector = StreamingDetector()
    values = [value * scale for value in noise(600, seed=seed)]
    for at, glitch in sorted(glitches, reverse=True):
        values.insert(at, glitch * scale)
    feed(detector, values)
    feed(detector, [value * scale for value in noise(600, seed=seed + 10)], start=600 * MINUTES)
    shifted = [value * scale for value in noise(30, seed=seed + 20, mean=200.0)]
    assert max(feed(detector, shifted, start=1200 * MINUTES)) >= 0.35


@given(st.integers(0, 99), absurd, st.sampled_from([0.0, 3.0, -1e6]))
@settings(deadline=None, max_examples=60)
def test_a_constant_that_was_absurd_once_is_still_heard_when_it_moves(at, glitch, level):
    detector = StreamingDetector()
    feed(detector, [level] * at + [glitch] + [level] * 500)
    moved = [level + 500.0 + abs(level)] * 30
    assert max(feed(detector, moved, start=601 * MINUTES)) >= 0.35


def test_an_absurd_value_is_told_and_teaches_nothing():
    with_glitch, without = StreamingDetector(), StreamingDetector()
    feed(with_glitch, noise(300))
    feed(without, noise(300))
    assert with_glitch.update(300 * MINUTES, 1e300) == 1.0
    for index, value in enumerate(noise(300, seed=2)):
        with_glitch.update((301 + index) * MINUTES, value)
        without.update((301 + index) * MINUTES, value)
        assert with_glitch.surprise == without.surprise


def test_absurd_values_that_come_again_and_again_are_learned():
    detector, values = StreamingDetector(), noise(3000)
    values[100::100] = [1e6] * 29
    surprises = [detector.surprise for value in values if detector.update(0.0, value) >= 0]
    assert max(surprises[2000:]) < 0.6


def test_a_scale_that_really_changed_is_followed():
    detector = StreamingDetector()
    feed(detector, noise(600))
    feed(detector, [value * 1e9 for value in noise(3000, seed=2)], start=600 * MINUTES)
    assert max(feed(detector, [value * 1e9 for value in noise(100, seed=3)], start=3600 * MINUTES)) < 0.35


def test_memory_does_not_grow():
    detector = StreamingDetector()
    feed(detector, noise(300))
    size = len(json.dumps(detector.state()))
    feed(detector, noise(5000), start=1e6)
    assert len(json.dumps(detector.state())) < size + 192 * 25


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("memory", 0, "memory must be a whole number of values of at least 1, not 0"),
        ("fast", 1.5, "fast must be a whole number of values of at least 1, not 1.5"),
        ("slow", True, "slow must be a whole number of values of at least 1, not True"),
        ("rest", -1, "rest must be a whole number of values of at least 0, not -1"),
        ("rise", 0.5, "rise must be a factor of at least 1, not 0.5"),
        ("rise", math.nan, "rise must be a factor of at least 1, not nan"),
    ],
)
def test_a_bad_option_is_named(option, value, said):
    with pytest.raises(ValueError, match=said):
        StreamingDetector(**{option: value})


def test_what_is_no_number_is_named():
    with pytest.raises(TypeError, match=r"timestamp and value must be numbers, not 0\.0 and 'many'"):
        StreamingDetector().update(0.0, "many")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 1}, "the state of a detector has format 1; this version reads format 2"),
        ({"span": [1]}, "the state of a detector is damaged"),
        ({"numbers": [1]}, "the state of a detector is damaged"),
        ({"season": {}}, "the state of a detector is damaged"),
        ({"options": {"memory": 0}}, "the state of a detector is damaged: memory must be"),
    ],
)
def test_a_state_that_cannot_be_read_is_refused_by_name(change, said):
    with pytest.raises(ValueError, match=said):
        StreamingDetector.from_state({**StreamingDetector().state(), **change})
