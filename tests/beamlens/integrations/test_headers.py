from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.integrations.headers import queue_seconds
from beamlens_actors.testing import FakeClock


@pytest.mark.parametrize(("scale", "prefix"), [(1.0, ""), (1.0, "t="), (1e3, ""), (1e3, "t="), (1e6, ""), (1e6, "t=")])
def test_seconds_milliseconds_and_microseconds_are_told_apart(scale, prefix):
    with FakeClock() as clock:
        sent = f"{prefix}{(clock.time() - 2.5) * scale:.3f}"
        assert queue_seconds(sent) == pytest.approx(2.5, abs=1e-3)


@pytest.mark.parametrize("sent", [None, "", "t=", "soon", "nan", "inf", "-5", "0", "1", "t=t=1", "9" * 400])
def test_what_is_no_time_of_late_says_nothing(sent):
    assert queue_seconds(sent) is None


def test_a_clock_that_is_a_little_ahead_means_no_wait_and_one_far_ahead_nothing():
    with FakeClock() as clock:
        assert queue_seconds(str(clock.time() + 0.5)) == 0.0
        assert queue_seconds(str(clock.time() + 5)) is None


@given(st.text(max_size=40))
def test_no_header_makes_it_fail(sent):
    found = queue_seconds(sent)
    assert found is None or 0.0 <= found <= 600.0
