"""From scores to alarms."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.detect import AlertGate


def alarms(gate, rows):
    return [alarm.at for at, score in rows if (alarm := gate.update(at, score))]


def test_a_high_score_is_an_alarm_and_the_cooldown_holds_back_the_next():
    gate = AlertGate(900.0, threshold=0.5)
    assert alarms(gate, [(0, 0.4), (60, 0.6), (120, 0.9), (959, 0.9), (960, 0.9)]) == [60, 960]


def test_what_was_held_back_is_counted_with_the_next_alarm():
    gate = AlertGate(100.0)
    given_ = [gate.update(at, 1.0) for at in (0, 10, 20, 100)]
    assert [alarm and alarm.suppressed for alarm in given_] == [0, None, None, 2]


def test_scores_must_be_high_in_a_row():
    gate = AlertGate(0.0, threshold=0.5, consecutive=3)
    assert alarms(gate, enumerate([1, 1, 0, 1, 1, 1, 1, 1, 1])) == [5, 8]


def test_no_alarm_while_it_warms_up():
    gate = AlertGate(0.0, warm_up=60.0)
    assert alarms(gate, [(1000, 1.0), (1059, 1.0), (1060, 1.0)]) == [1060]


def test_flapping_is_damped_and_forgiven_after_quiet():
    gate = AlertGate(10.0, longest=80.0)
    found = [gate.update(at, 1.0) for at in range(300)]
    assert [alarm.at for alarm in found if alarm] == [0, 10, 30, 70, 150, 230]
    assert gate.update(229 + 80 * 20, 1.0).cooldown == 10.0


def test_a_clock_that_steps_back_does_not_silence_it_for_longer_than_a_cooldown():
    gate = AlertGate(100.0)
    assert alarms(gate, [(1e9, 1.0), (50.0, 1.0), (149.0, 1.0), (150.0, 1.0)]) == [1e9, 150.0]


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1)), max_size=60), st.integers(0, 60))
def test_a_gate_that_is_restored_goes_on_exactly_as_the_first_would(rows, cut):
    rows = sorted(rows)
    first, second = AlertGate(50.0, consecutive=2), AlertGate(50.0, consecutive=2)
    alarms(first, rows[:cut])
    second.restore(json.loads(json.dumps(first.state())))
    assert alarms(first, rows[cut:]) == alarms(second, rows[cut:])


@given(st.lists(st.floats(0, 2e4), max_size=200))
def test_alarms_are_never_closer_than_the_cooldown(times):
    found = alarms(AlertGate(100.0), [(at, 1.0) for at in sorted(times)])
    assert all(later - earlier >= 100.0 for earlier, later in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cooldown": -1}, "cooldown must be seconds of at least 0, not -1"),
        ({"threshold": 0}, "threshold must be a score above 0 and at most 1, not 0"),
        ({"consecutive": 0}, "consecutive must be a whole number of at least 1, not 0"),
        ({"warm_up": "soon"}, "warm_up must be seconds of at least 0, not 'soon'"),
        ({"longest": float("inf")}, "longest must be seconds of at least 0, not inf"),
    ],
)
def test_a_bad_option_is_named(options, said):
    with pytest.raises(ValueError, match=said):
        AlertGate(**options)


@pytest.mark.parametrize("state", [{"format": 9}, {"format": 1}, "x"])
def test_a_state_that_cannot_be_read_is_refused(state):
    with pytest.raises(ValueError, match="the state of an alert gate"):
        AlertGate().restore(state)
