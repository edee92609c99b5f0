from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from beamlens.probes import sampler as module
from beamlens.probes import stack_profile, thread_clock
from beamlens.probes.interned import Interner
from beamlens.probes.sampler import Sampler
from tests.support.threads import standing, until

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the clock of a thread is Linux's")


@pytest.fixture
def sampler():
    return Sampler()


def waits(here):
    here.reached.set()
    here.release.wait()


def burns(here):
    here.reached.set()
    while not here.release.is_set():
        sum(range(100))


def state_of(sampler, standing_thread):
    return next(state for state in sampler.states() if state.ident == standing_thread.thread.ident)


@linux
def test_the_clock_of_a_thread_counts_its_own_time_and_ends_with_it():
    with standing(waits, burns) as (waiting, burning):
        idle, busy = waiting.thread.native_id, burning.thread.native_id
        before = thread_clock.cpu_seconds(idle), thread_clock.cpu_seconds(busy)
        until(lambda: thread_clock.cpu_seconds(busy) > before[1] + 0.02)
        assert thread_clock.cpu_seconds(idle) == before[0]
    assert until(lambda: thread_clock.cpu_seconds(busy) is None)


def test_a_thread_without_an_id_has_no_clock():
    assert thread_clock.cpu_seconds(None) is None
    assert thread_clock.cpu_seconds(2**31 - 2) is None


def test_a_thread_that_waits_is_parked_at_its_line_and_not_walked_again(sampler):
    with standing(waits) as (held,):
        sampler.look()
        first = state_of(sampler, held)
        assert first.stack.place.function == "waits"
        assert first.stack.waits
        walked = first.walked
        for _ in range(5):
            sampler.look()
        again = state_of(sampler, held)
        assert again is first
        assert again.since == first.since
        assert again.parked(first.since + 7) == 7
        if thread_clock.cpu_seconds(held.thread.native_id) is not None:
            assert again.walked == walked


@linux
def test_cpu_time_is_charged_to_the_line_that_burns_it_and_not_to_those_that_wait(sampler):
    def found():
        sampler.look()
        (top, *_) = stack_profile.hottest(sampler.profile.windows, 5) or [None]
        return top is not None and top.frame.function == "burns" and top.share > 0.9

    with standing(waits, burns):
        # Threads that other tests left may burn a little at first.
        assert until(found)
    assert "waits" not in {one.frame.function for one in stack_profile.hottest(sampler.profile.windows, 50)}


@linux
def test_threads_are_told_by_the_cpu_time_that_they_used(sampler):
    with standing(waits, burns) as (waiting, burning):
        sampler.look()
        until(lambda: sampler.look() and burning.thread.ident in stack_profile.burners(sampler.profile.windows))
        burnt = stack_profile.burners(sampler.profile.windows)
        assert burnt[burning.thread.ident].name == "stands-burns"
        assert burnt.get(waiting.thread.ident) is None


def test_a_thread_that_ended_is_forgotten(sampler):
    with standing(waits) as (held,):
        sampler.look()
        assert held.thread.ident in sampler.threads
    sampler.look()
    assert held.thread.ident not in sampler.threads


def test_it_runs_while_somebody_uses_it_and_forgets_when_nobody_does(sampler):
    sampler.start()
    sampler.start()
    thread = next(thread for thread in threading.enumerate() if thread.name == "beamlens-sampler")
    until(lambda: sampler.profile.windows)
    sampler.stop()
    assert sampler.running
    sampler.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert not sampler.running
    assert not sampler.profile.windows
    sampler.stop()


def test_a_listener_gets_each_look_and_one_that_raises_is_dropped(sampler):
    heard = []

    class Listener:
        def looked(self, now, elapsed, threads):
            heard.append(len(threads))

    class Broken:
        def looked(self, now, elapsed, threads):
            raise RuntimeError("broken")

    listener, broken = Listener(), Broken()
    sampler.start(broken, listener)
    try:
        until(lambda: len(heard) >= 2)
        assert sampler._listeners == (listener,)
    finally:
        thread = next(thread for thread in threading.enumerate() if thread.name == "beamlens-sampler")
        sampler.stop(listener)
        thread.join(20)


@linux
def test_a_look_that_comes_late_while_one_thread_burns_says_who_kept_the_gil(sampler):
    with standing(burns) as (burning,):
        sampler.look()
        state = state_of(sampler, burning)
        state.spent = 0.5
        sampler._note_held(0.5 + sampler._interval)
        state.spent = 0.1
        sampler._note_held(0.5 + sampler._interval)
        state.spent = 0.5
        sampler._note_held(sampler._interval)
    (held,) = sampler.held
    assert (held.thread, held.seconds) == ("stands-burns", pytest.approx(0.5))
    assert held.stack.place.function == "burns"
    assert abs(held.at - time.time()) < 3600


def test_it_looks_more_often_the_more_there_is_to_see_and_less_where_that_costs(sampler):
    assert sampler._pace(0.0, 0.0)[0] == sampler._interval * module._LENGTHENS
    assert sampler._pace(0.05, 0.0)[0] == module._WORKING
    assert sampler._pace(0.9, 0.0)[0] == module._BUSY
    sampler.hurry = True
    assert sampler._pace(0.0, 0.0)[0] == module._WORKING
    assert sampler._pace(0.0, 0.001)[1] == pytest.approx(0.001 / module._DUTY_IDLE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_no_sampler_and_may_start_one(sampler):
    module.sampler.start()
    thread = next(thread for thread in threading.enumerate() if thread.name == "beamlens-sampler")
    try:
        pid = os.fork()
        if pid == 0:
            good = not module.sampler.running and not module.sampler.threads
            module.sampler.start()
            os._exit(0 if good and module.sampler.running else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert module.sampler.running
    finally:
        module.sampler.stop()
        thread.join(20)


def test_stacks_are_kept_once_and_bounded(monkeypatch):
    interner = Interner()
    frame = sys._getframe()
    first = interner.stack(frame)
    assert first.frames[0].function == "test_stacks_are_kept_once_and_bounded"
    here = interner.stack(frame)
    assert here is not first  # another line
    assert len([interner.stack(frame) for _ in range(5)]) == 5
    before = len(interner)
    for _ in range(5):
        interner.stack(frame)
    assert len(interner) == before + 1
    monkeypatch.setattr("beamlens.probes.interned._MOST_STACKS", 3)
    monkeypatch.setattr("beamlens.probes.interned._MOST_CODES", 1)
    for _ in range(10):
        assert interner.stack(frame).frames[0].module == __name__
        assert len(interner) <= before + 1
