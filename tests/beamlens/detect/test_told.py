from __future__ import annotations

from beamlens.detect import Reading, Told

ACTIVE = Reading(active=True, reason="route x is slow")


def fed(told, *timestamps):
    return [told.update(timestamp, 0.0).active for timestamp in timestamps]


def test_a_finding_is_passed_on_at_once():
    assert Told(lambda: ACTIVE).update(0.0, 0.0) is ACTIVE


def test_a_finding_that_must_last_is_passed_on_when_it_has():
    assert fed(Told(lambda: ACTIVE, 3.0), 0.0, 1.0, 2.9, 3.0, 4.0) == [False, False, False, True, True]


def test_a_pause_and_a_clock_that_steps_back_begin_anew():
    readings = iter([True, False, True, True])
    told = Told(lambda: Reading(active=next(readings)), 2.0)
    assert fed(told, 0.0, 1.0, 2.0, 3.0) == [False, False, False, False]
    told = Told(lambda: ACTIVE, 2.0)
    assert fed(told, 10.0, 5.0, 6.0, 7.0) == [False, False, False, True]
