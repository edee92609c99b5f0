from __future__ import annotations

import math
from typing import Any

import pytest

from beamlens_actors.testing import FakeClock
from beamlens_supervision import InvalidSupervisorOption
from beamlens_supervision.intensity import RestartWindow


def test_as_many_as_allowed_pass_and_one_more_does_not() -> None:
    with FakeClock():
        window = RestartWindow(2, 5.0)
        assert [window.record() for _ in range(3)] == [True, True, False]


def test_none_allowed_refuses_the_first() -> None:
    assert RestartWindow(0, 5.0).record() is False


def test_what_is_older_than_the_window_does_not_count() -> None:
    with FakeClock() as clock:
        window = RestartWindow(1, 5.0)
        for _ in range(20):
            assert window.record()
            clock.advance(5.1)


def test_what_is_as_old_as_the_window_counts() -> None:
    with FakeClock() as clock:
        window = RestartWindow(1, 5.0)
        window.record()
        clock.advance(5.0)
        assert window.record() is False


@pytest.mark.parametrize("value", [-1, 1.5, True, None, "3"])
def test_max_restarts_must_be_a_whole_number(value: Any) -> None:
    with pytest.raises(InvalidSupervisorOption) as caught:
        RestartWindow(value, 5.0)
    assert (caught.value.field, caught.value.value) == ("max_restarts", value)


@pytest.mark.parametrize("value", [0, -1, math.inf, "5", None, True])
def test_max_seconds_must_be_positive_and_finite(value: Any) -> None:
    with pytest.raises(InvalidSupervisorOption) as caught:
        RestartWindow(3, value)
    assert caught.value.field == "max_seconds"


def test_the_clock_of_the_wall_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeClock() as clock:
        window = RestartWindow(1, 5.0)
        monkeypatch.setattr(clock, "time", lambda: pytest.fail("asked for the time of day"))
        assert [window.record(), window.record()] == [True, False]
