"""The budget stretches waits while all is quiet (design D11)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.agent import Budget, Ledger
from beamlens.watcher.wait import LONGEST_MS, Wait, stretched, wait_tool


@pytest.mark.parametrize(
    ("share", "seconds"), [(0.0, 60.0), (0.5, 60.0), (0.75, 120.0), (0.9, 300.0), (0.99, 1200.0), (1.0, 1200.0)]
)
def test_a_minute_becomes_longer_the_nearer_the_budgets_end_is(share, seconds):
    assert stretched(60.0, share) == pytest.approx(seconds)


@given(st.floats(1.0, LONGEST_MS / 1000), st.floats(0.0, 2.0), st.floats(0.0, 2.0))
def test_it_is_never_shorter_nor_beyond_the_bound_and_grows_with_what_is_spent(seconds, one, other):
    less, more = sorted((one, other))
    assert seconds <= stretched(seconds, less) <= stretched(seconds, more) <= LONGEST_MS / 1000


def found(*, spent, health="healthy", sensors=(), model="claude", budget=True):
    ledger = SimpleNamespace(share=lambda: spent) if budget else None
    services = SimpleNamespace(budget=ledger, offline=SimpleNamespace(model="offline"))
    return SimpleNamespace(
        services=services, health=health, sensors=sensors, model=lambda: model, remember=lambda _note: None
    )


@pytest.mark.parametrize(
    ("options", "result"),
    [
        ({"spent": 0.75}, {"seconds": 120.0, "stretched_by_budget": True}),
        ({"spent": 0.2}, {"seconds": 60.0}),
        ({"spent": 0.75, "health": "warning"}, {"seconds": 60.0}),
        ({"spent": 0.75, "sensors": ("active",)}, {"seconds": 60.0}),
        ({"spent": 0.75, "model": "offline"}, {"seconds": 60.0}),
        ({"spent": 0.75, "budget": False}, {"seconds": 60.0}),
    ],
)
def test_only_a_models_wait_in_quiet_times_is_stretched(options, result):
    assert wait_tool(found(**options)).fn(Wait(ms=60_000)) == result


def test_the_limit_that_is_nearest_to_its_end_counts():
    assert Ledger(Budget()).share() == 0.0
    assert Ledger(Budget(calls_per_hour=0, usd_per_day=5.0)).share() == 1.0
