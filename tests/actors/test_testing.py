from __future__ import annotations

import pytest

from beamlens_actors import Down, Exit, Normal, Shutdown
from beamlens_actors.testing import Probe
from tests.actors.helpers import Recorder


def test_expect_takes_messages_in_order_by_value_type_or_at_all() -> None:
    probe = Probe.start()
    for message in ("a", 1, None):
        probe.tell(message)
    assert probe.expect("a", timeout=5) == "a"
    assert probe.expect(int) == 1
    assert probe.expect() is None
    assert probe.received() == ["a", 1, None]


def test_expect_fails_with_what_came_instead() -> None:
    probe = Probe.options(name="probe").start()
    probe.tell("b")
    with pytest.raises(AssertionError, match="probe received 'b', expected 'a'"):
        probe.expect("a")  # type: ignore[attr-defined]


def test_expect_fails_when_nothing_comes() -> None:
    with pytest.raises(AssertionError, match=r"nothing within 0\.0 s, expected 'a'"):
        Probe.start().expect("a", timeout=0.0)


def test_expect_nothing_fails_with_what_is_left() -> None:
    probe = Probe.start()
    probe.expect_nothing()
    probe.tell("x")
    with pytest.raises(AssertionError, match="'x'"):
        probe.expect_nothing()


def test_probe_answers_and_records_downs_and_exits_and_can_be_read_after_its_end() -> None:
    probe, other = Probe.start(answer=42), Recorder.start()
    assert probe.ask("question") == 42
    handle = probe.watch(other)
    probe.link(other)
    other.stop()
    probe.stop()
    probe.expect("question")
    assert {probe.expect(), probe.expect()} == {Down(other, Normal(), handle), Exit(other, Normal())}
    probe.expect_nothing()


def test_exit_signal_is_recorded_and_survived() -> None:
    probe = Probe.start()
    probe.exit(Shutdown())
    assert probe.expect(Exit) == Exit(None, Shutdown())
    assert probe.is_alive()
