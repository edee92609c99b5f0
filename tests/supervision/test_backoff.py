"""`Backoff`, and children that wait for it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens_actors.testing import FakeClock
from beamlens_supervision import Backoff, ChildSpec, InvalidChildSpec, Supervisor
from tests.supervision.helpers import LIMIT, Flaky, crash, states, worker


def test_it_doubles_up_to_its_cap() -> None:
    backoff = Backoff(0.5, cap=5.0)
    assert [backoff(attempt) for attempt in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_factor_of_one_waits_the_same_each_time() -> None:
    backoff = Backoff(2.0, factor=1)
    assert [backoff(attempt) for attempt in (1, 2, 100)] == [2.0, 2.0, 2.0]


@given(st.integers(min_value=1, max_value=10**9))
def test_however_many_attempts_the_cap_holds(attempt: int) -> None:
    assert 0.1 <= Backoff()(attempt) <= 30.0
    assert Backoff(0.0)(attempt) == 0.0


def test_jitter_takes_away_up_to_its_part() -> None:
    numbers = iter([0.0, 0.5, 1.0])
    backoff = Backoff(10.0, factor=1, jitter=0.2, random=lambda: next(numbers))
    assert [backoff(1) for _ in range(3)] == [10.0, 9.0, 8.0]


def test_by_default_jitter_is_random() -> None:
    backoff = Backoff(10.0, factor=1, jitter=1.0)
    waits = {backoff(1) for _ in range(20)}
    assert len(waits) > 1
    assert all(0.0 <= wait <= 10.0 for wait in waits)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base", -1),
        ("base", math.inf),
        ("base", "1"),
        ("factor", 0.5),
        ("factor", math.inf),
        ("factor", None),
        ("cap", -0.1),
        ("cap", math.nan),
        ("jitter", 1.1),
        ("jitter", True),
        ("random", 4),
    ],
)
def test_a_bad_value_is_refused_with_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidChildSpec) as caught:
        Backoff(**{field: value})
    assert caught.value.field == f"backoff.{field}"
    assert repr(value) in str(caught.value)


def test_a_child_waits_longer_each_time_and_its_supervisor_answers_meanwhile() -> None:
    with FakeClock() as clock:
        flaky = Flaky(3, after=1)
        sup = Supervisor.start([ChildSpec("a", flaky, backoff=Backoff(1.0, cap=3.0)), worker("b")], max_restarts=9)
        crash(sup.child("a"))
        for seconds, calls in ((1.0, 2), (2.0, 3), (3.0, 4), (3.0, 5)):
            assert states(sup.which_children(timeout=LIMIT)) == {"a": "restarting", "b": "running"}
            clock.advance(seconds - 0.1)
            sup.count_children()
            assert flaky.calls == calls - 1
            clock.advance(0.1)
            sup.count_children()
            assert flaky.calls == calls
        assert states(sup.which_children()) == {"a": "running", "b": "running"}


@pytest.mark.parametrize("how", ["terminate", "stop"])
def test_a_restart_that_is_no_longer_wanted_leaves_no_timer(how: str) -> None:
    with FakeClock() as clock:
        sup = Supervisor.start([worker("a", backoff=Backoff(60.0, cap=60.0))])
        crash(sup.child("a"))
        sup.count_children()
        assert clock.waiters() == 1
        if how == "stop":
            sup.stop()
        else:
            sup.terminate_child("a")
        assert clock.waiters() == 0


@pytest.mark.parametrize("seconds", [math.inf, math.nan])
def test_a_backoff_that_is_no_time_restarts_at_once(seconds: float, caplog: pytest.LogCaptureFixture) -> None:
    sup = Supervisor.start([worker("a", backoff=lambda _attempt: seconds)])
    crash(sup.child("a"))
    assert states(sup.which_children()) == {"a": "running"}
    assert f"backoff of child 'a' gave {seconds!r}" in caplog.text
