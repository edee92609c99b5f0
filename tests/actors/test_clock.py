from __future__ import annotations

import threading

import pytest

from beamlens_actors import clock
from beamlens_actors.testing import FakeClock
from tests.actors.helpers import LIMIT


def test_real_clock_waits_return_whether_it_happened_in_time() -> None:
    event, condition, token = threading.Event(), threading.Condition(), threading.Lock()
    token.acquire()
    assert clock.wait(event, 0) is False
    assert clock.acquire(token, 0) is False
    with condition:
        assert clock.wait_condition(condition, 0) is False
        assert clock.wait_until(condition, lambda: False, 0) is False
        assert clock.wait_until(condition, lambda: True, None) is True
    event.set()
    clock.release(token)
    clock.release(token)
    assert clock.wait(event) is True
    assert clock.acquire(token) is True
    clock.sleep(-1)


def test_huge_timeouts_are_fine() -> None:
    event = threading.Event()
    event.set()
    assert clock.wait(event, 1e300) is True


def test_remaining_never_goes_below_zero() -> None:
    with FakeClock() as fake:
        deadline = clock.monotonic() + 3
        assert clock.remaining(deadline) == 3
        fake.advance(10)
        assert clock.remaining(deadline) == 0
        assert clock.remaining(None) is None


def test_fake_time_stands_still_until_advanced_and_the_real_one_is_back_after() -> None:
    real = clock.monotonic()
    with FakeClock(start=50, epoch=1000) as fake:
        assert (clock.monotonic(), clock.time()) == (50, 1000)
        fake.advance(2.5)
        assert (clock.monotonic(), clock.time()) == (52.5, 1002.5)
        with pytest.raises(ValueError, match="back"):
            fake.advance(-1)
    assert clock.monotonic() >= real


def in_thread(fn) -> tuple[threading.Thread, list[object]]:  # type: ignore[no-untyped-def]
    result: list[object] = []
    thread = threading.Thread(target=lambda: result.append(fn()), daemon=True)
    thread.start()
    return thread, result


def fake_waits() -> list[object]:
    event, condition, token = threading.Event(), threading.Condition(), threading.Lock()
    token.acquire()

    def on_condition() -> bool:
        with condition:
            return clock.wait_condition(condition, 5)

    def until() -> bool:
        with condition:
            return clock.wait_until(condition, lambda: False, 5)

    return [
        pytest.param(lambda: clock.wait(event, 5), False, id="event"),
        pytest.param(lambda: clock.acquire(token, 5), False, id="token"),
        pytest.param(on_condition, False, id="condition"),
        pytest.param(until, False, id="until"),
        pytest.param(lambda: clock.sleep(5), None, id="sleep"),
    ]


@pytest.mark.parametrize(("wait", "result"), fake_waits())
def test_every_timed_wait_ends_when_the_fake_clock_passes_it(wait, result) -> None:  # type: ignore[no-untyped-def]
    with FakeClock() as fake:
        thread, got = in_thread(wait)
        fake.wait_for_waiters(1)
        fake.advance(4.9)
        assert got == []
        assert fake.waiters() == 1
        fake.advance(0.1)
        thread.join(LIMIT)
        assert got == [result]
        assert fake.waiters() == 0


def test_what_happens_before_the_time_ends_a_fake_wait_early() -> None:
    event, token, condition = threading.Event(), threading.Lock(), threading.Condition()
    token.acquire()
    flag: list[int] = []

    def until() -> bool:
        with condition:
            return clock.wait_until(condition, lambda: flag, 5)

    with FakeClock() as fake:
        waits = [
            in_thread(lambda: clock.wait(event, 5)),
            in_thread(lambda: clock.acquire(token, 5)),
            in_thread(until),
        ]
        fake.wait_for_waiters(3)
        event.set()
        clock.release(token)
        with condition:
            flag.append(1)
            condition.notify_all()
        for thread, got in waits:
            thread.join(LIMIT)
            assert got == [True]
        assert fake.waiters() == 0


def test_fake_waits_of_no_time_do_not_block() -> None:
    event, token = threading.Event(), threading.Lock()
    token.acquire()
    with FakeClock():
        assert clock.wait(event, 0) is False
        assert clock.acquire(token, 0) is False
        clock.sleep(0)


def test_fake_timers_fire_in_order_each_at_its_own_time() -> None:
    fired: list[tuple[str, float]] = []
    with FakeClock(start=0) as fake:

        def again() -> None:
            fired.append(("again", clock.monotonic()))
            if len(fired) < 4:
                clock.call_later(2, again)

        clock.call_later(3, lambda: fired.append(("three", clock.monotonic())))
        clock.call_later(2, again)
        fake.advance(5)
        assert fired == [("again", 2), ("three", 3), ("again", 4)]
        assert clock.monotonic() == 5


def test_equal_times_fire_in_the_order_they_were_made() -> None:
    fired: list[int] = []
    with FakeClock() as fake:
        for number in range(5):
            clock.call_later(1, lambda number=number: fired.append(number))  # type: ignore[misc]
        fake.advance(1)
    assert fired == [0, 1, 2, 3, 4]


def test_wait_for_waiters_gives_up_with_what_is_there() -> None:
    with FakeClock() as fake, pytest.raises(TimeoutError, match="0 waiters"):
        fake.wait_for_waiters(1, timeout=0)


def test_leaving_the_fake_clock_wakes_who_waits() -> None:
    with FakeClock() as fake:
        thread, got = in_thread(lambda: clock.wait(threading.Event(), 5))
        fake.wait_for_waiters(1)
    thread.join(LIMIT)
    assert got == [False]


def test_waits_that_are_due_later_can_be_left_out_of_the_count() -> None:
    with FakeClock() as fake:
        clock.call_later(60, lambda: None)
        assert (fake.waiters(), fake.waiters(within=59.0)) == (1, 0)
        with pytest.raises(TimeoutError, match="0 waiters after 0 s, expected 1"):
            fake.wait_for_waiters(1, timeout=0, within=59.0)
        clock.call_later(59, lambda: None)
        fake.wait_for_waiters(1, timeout=0, within=59.0)
