"""What a quiet day of twelve watchers costs, call by call."""

from __future__ import annotations

import os

import pytest

from tests.support.quiet_day import RECOMMENDED_MS, TWELVE, ObedientModel, spend


def test_a_quiet_day_of_twelve_watchers_costs_less_than_half_a_dollar_and_each_call_has_its_reason(capsys):
    client = ObedientModel()
    bill, _reads = spend(client=client)
    with capsys.disabled():
        print(f"\n{bill}")
    # Each watcher looks when it begins and twice more, every eight hours: a snapshot, then a wait.
    assert bill.by_reason() == {
        ("the watch begins", "take_snapshot"): 12,
        ("the watch begins", "wait"): 12,
        ("the wait is over", "take_snapshot"): 24,
        ("the wait is over", "wait"): 24,
    }
    assert {call.watcher for call in bill.calls} == set(TWELVE)
    assert all(f"({RECOMMENDED_MS} ms)" in system for system in client.systems)
    assert 0.1 < bill.usd < 0.5


@pytest.mark.skipif("BEAMLENS_WHOLE_DAY" not in os.environ, reason="takes minutes: nox -s day")
def test_a_quiet_day_with_every_reading_of_the_sensors_costs_the_same(capsys):
    bill, reads = spend(step=5.0)
    with capsys.disabled():
        print(f"\n{bill}\n{reads} readings")
    assert len(bill.calls) == 72
    assert reads > 12 * 10_000
    assert bill.usd < 0.5
