from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from beamlens_actors import clock, is_actor_thread, send_after, timers
from beamlens_actors.testing import FakeClock, Probe
from tests.actors.helpers import LIMIT, Recorder, busy

if TYPE_CHECKING:
    import pytest


def test_delayed_message_arrives_once_and_not_before_it_is_due() -> None:
    with FakeClock() as fake:
        probe = Probe.start()
        send_after(5, probe, "tick")
        fake.advance(4.999)
        probe.expect_nothing()
        fake.advance(0.001)
        probe.expect("tick")
        fake.advance(100)
        probe.expect_nothing()


def test_actor_sends_itself_a_delayed_message() -> None:
    with FakeClock() as fake:
        ref = Recorder.start()
        ref.ask(("do", lambda actor: actor.send_after(1, "later")))
        fake.advance(1)
        assert ref.ask("log") == ["start", "later"]


def test_cancel_is_true_once_and_prevents_the_message() -> None:
    with FakeClock() as fake:
        probe = Probe.start()
        timer = send_after(5, probe, "tick")
        assert timer.cancel() is True
        assert timer.cancel() is False
        fake.advance(5)
        probe.expect_nothing()


def test_cancel_after_it_fired_is_false() -> None:
    with FakeClock() as fake:
        timer = send_after(5, Probe.start(), "tick")
        fake.advance(5)
        assert timer.cancel() is False


def test_remaining_counts_down_to_zero() -> None:
    with FakeClock() as fake:
        timer = send_after(5, Probe.start(), "tick")
        assert timer.remaining() == 5
        fake.advance(2)
        assert timer.remaining() == 3
        fake.advance(3)
        assert timer.remaining() == 0
        cancelled = send_after(5, Probe.start(), "tick")
        cancelled.cancel()
        assert cancelled.remaining() == 0


def test_message_to_an_ended_or_full_actor_is_dropped(gate: threading.Event) -> None:
    with FakeClock() as fake:
        dead, full = Recorder.start(), Recorder.options(capacity=1, overflow="block").start()
        dead.stop()
        busy(full, gate)
        full.tell("filler")
        send_after(1, dead, "x")
        send_after(1, full, "x")
        fake.advance(1)
        assert full.mailbox_stats().dropped == 1


def test_real_timers_fire_in_the_order_they_are_due() -> None:
    fired: list[Any] = []
    done = threading.Event()
    clock.call_later(0.02, lambda: (fired.append("late"), done.set()))
    clock.call_later(0.01, lambda: fired.append("early"))
    clock.call_later(-1, lambda: fired.append("at once"))
    cancelled = clock.call_later(0.015, lambda: fired.append("never"))
    assert cancelled.cancel()
    assert done.wait(LIMIT)
    assert fired == ["at once", "early", "late"]


def test_failing_function_does_not_stop_the_timer_thread(caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()
    clock.call_later(0, lambda: 1 / 0)
    clock.call_later(0, done.set)
    assert done.wait(LIMIT)
    assert "a timer's function failed" in caplog.text


def test_timer_thread_belongs_to_the_library_and_is_a_daemon() -> None:
    seen: list[Any] = []
    done = threading.Event()
    clock.call_later(0, lambda: (seen.append((is_actor_thread(), threading.current_thread().daemon)), done.set()))
    assert done.wait(LIMIT)
    assert seen == [(True, True)]


def test_cancelled_timers_do_not_pile_up() -> None:
    from beamlens_actors import timers

    for _ in range(5000):
        clock.call_later(3600, print).cancel()
    assert len(timers._thread._heap) < 3000


def test_a_signal_handler_may_set_a_timer_while_its_thread_does() -> None:
    fired = threading.Event()
    with timers._thread._changed:
        clock.call_later(0, fired.set)
    assert fired.wait(LIMIT)


def test_the_timer_thread_ends_when_no_timer_is_left_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers.TimerThread, "_IDLE", 0.01)
    own, before = timers.TimerThread(), set(threading.enumerate())
    for _ in range(2):
        fired = threading.Event()
        cancelled = own.call_later(600.0, fired.set)
        (thread,) = set(threading.enumerate()) - before
        own.call_later(0.0, fired.set)
        assert fired.wait(LIMIT)
        cancelled.cancel()
        thread.join(LIMIT)
        assert not thread.is_alive()


def test_a_timer_that_is_cancelled_before_the_thread_would_look_again_does_not_wake_it() -> None:
    thread = timers.TimerThread()
    woken = []
    wait = thread._changed.wait

    def counted(timeout: float | None = None) -> bool:
        woken.append(timeout)
        return wait(timeout)

    thread._changed.wait = counted  # type: ignore[method-assign]
    done = threading.Event()
    thread.call_later(0.0, done.set)
    assert done.wait(LIMIT)
    with thread._changed:
        while not thread._looks_again:
            wait(0.01)
        before = len(woken)
    for _ in range(100):
        thread.call_later(30, done.set).cancel()
    fired = threading.Event()
    thread.call_later(0.0, fired.set)
    assert fired.wait(LIMIT)
    assert len(woken) - before <= 1
