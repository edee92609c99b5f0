from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import weakref

import pytest

from beamlens.probes import loops as module
from beamlens.probes.frames import Frame
from beamlens.probes.interned import Stack
from beamlens.probes.loops import LoopWatch, Stall, find
from beamlens.probes.sampler import Sampler
from tests.support.threads import until


class Service:
    """An event loop on a thread; `block` makes it run one callback until released."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="service")
        self.blocked, self.release = threading.Event(), threading.Event()

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()

    def __enter__(self):
        self.thread.start()
        until(self.loop.is_running)
        return self

    def __exit__(self, *_):
        self.release.set()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        asyncio.set_event_loop(None)

    def block(self):
        self.release.clear()
        self.loop.call_soon_threadsafe(self._hold)
        assert self.blocked.wait(20)
        self.blocked.clear()

    def _hold(self):
        self.blocked.set()
        self.release.wait()  # here


class Watching:
    """A watch that looks when the test says so."""

    def __init__(self):
        self.watch, self.sampler = LoopWatch(), Sampler()
        self.last = time.monotonic()

    def look(self):
        self.sampler.look()
        now = time.monotonic()
        self.watch.looked(now, now - self.last, self.sampler.threads)
        self.last = now
        return True


@pytest.fixture
def watching():
    return Watching()


def line_of_here():
    with open(__file__) as file:
        return next(number for number, line in enumerate(file, 1) if line.rstrip().endswith("# here"))


def test_a_loop_is_found_without_being_asked_and_answers(watching):
    with Service():
        state = until(lambda: watching.look() and [s for s in watching.watch.states() if s.lag_ms is not None])[0]
        assert state.thread == "service"
        assert until(lambda: watching.look() and watching.watch.states()[0].ready == 0)
        assert state.kind.endswith("EventLoop")
    watching.look()
    assert watching.watch.states() == []


def test_a_loop_that_is_blocked_is_told_while_it_lasts_with_the_line(watching):
    with Service() as service:
        service.block()
        (stall,) = until(lambda: watching.look() and watching.watch.recent(60))
        assert not stall.over
        assert stall.thread == "service"
        stack, _seconds = stall.stacks[0]
        assert (stack.place.file, stack.place.line) == (__file__, line_of_here())
        service.release.set()
        (ended,) = until(lambda: watching.look() and [s for s in watching.watch.recent(60) if s.over])
        assert ended.seconds >= module.SLOW
        assert len(watching.watch.stalls) == 1


def test_a_loop_that_works_in_short_callbacks_is_not_blocked(watching):
    with Service() as service:
        end = time.monotonic() + 0.7

        def spin():
            if time.monotonic() < end:
                sum(range(2000))
                service.loop.call_soon(spin)

        service.loop.call_soon_threadsafe(spin)
        while time.monotonic() < end:
            watching.look()
        assert [stall for stall in watching.watch.recent(60) if stall.seconds > 0.3] == []


def test_a_loop_that_stops_while_it_is_asked_is_let_go(watching):
    with Service() as service:
        service.block()
        until(lambda: watching.look() and watching.watch.recent(60))
    watching.look()
    assert [stall for stall in watching.watch.recent(60) if not stall.over] == []


def test_no_loop_is_kept_alive(watching):
    service = Service()
    with service:
        until(lambda: watching.look() and watching.watch.states())
    reference = weakref.ref(service.loop)
    del service
    gc.collect()
    assert reference() is None


def test_a_loop_that_refuses_is_left_alone(watching, monkeypatch):
    with Service() as service:
        monkeypatch.setattr(service.loop, "call_soon_threadsafe", lambda *_a, **_k: 1 / 0, raising=False)
        service_states = until(lambda: watching.look() and watching.watch.states())
        assert service_states[0].lag_ms is None
        monkeypatch.undo()


def test_a_second_loop_on_the_same_thread_is_found(watching):
    seen = []

    async def once():
        me = threading.get_ident()
        await asyncio.get_running_loop().run_in_executor(
            None, lambda: until(lambda: watching.look() and me in watching.watch._loops)
        )
        seen.append(watching.watch._loops[me].loop() is asyncio.get_running_loop())

    asyncio.run(once())
    asyncio.run(once())
    assert seen == [True, True]


def test_outside_of_a_loop_none_is_found():
    assert find(sys._getframe()) is None
    assert find(None) is None


def stall(cpu, others, *stacks):
    made = tuple((Stack((Frame("/srv/a.py", n + 1, "f", "a"),)), seconds) for n, seconds in enumerate(stacks))
    return Stall(0.0, 1.0, cpu, others, "t", made)


@pytest.mark.parametrize(
    ("found", "by_others"),
    [
        (stall(0.1, 0.9, 0.5, 0.5), True),  # here and there, while others burn
        (stall(0.0, 0.9, 1.0), False),  # sleeps at one line beside a busy worker
        (stall(0.9, 0.9, 0.5, 0.5), False),  # burns itself
        (stall(0.1, 0.1, 0.5, 0.5), False),  # many small waits
    ],
)
def test_waiting_for_the_gil_of_others_is_told_from_blocking(found, by_others):
    assert found.by_others is by_others


def test_users_are_counted_and_the_last_takes_the_listener_out():
    watch = LoopWatch()
    watch.start()
    watch.start()
    thread = next(thread for thread in threading.enumerate() if thread.name == "beamlens-sampler")
    watch.stop()
    assert watch in module.sampler._listeners
    watch.stop()
    thread.join(20)
    assert not thread.is_alive()
