from __future__ import annotations

import asyncio
import queue
import select
import socket
import threading
import time

import pytest

from beamlens.evidence import Place
from beamlens.probes import waits
from beamlens.probes.sampler import Sampler
from tests.support.threads import standing, until

LOCK = threading.Lock()
OTHER = threading.Lock()
QUEUE = queue.Queue()
LEFT, RIGHT = socket.socketpair()


@pytest.fixture(scope="module", autouse=True)
def closed_at_the_end():
    yield
    LEFT.close()
    RIGHT.close()


def line_of(mark):
    with open(__file__) as file:
        return next(number for number, line in enumerate(file, 1) if line.rstrip().endswith(f"# {mark}"))


def holds(here):
    with LOCK:
        here.reached.set()
        here.release.wait()  # held


def holds_by_hand(here):
    OTHER.acquire()
    here.reached.set()
    here.release.wait()  # held by hand
    OTHER.release()


def released_before(here):
    OTHER.acquire()
    OTHER.release()
    here.reached.set()
    here.release.wait()


def wants(here):
    here.reached.set()
    with LOCK:  # wanted
        pass


def wants_by_hand(here):
    here.reached.set()
    OTHER.acquire()  # wanted by hand
    OTHER.release()


def takes(here):
    here.reached.set()
    QUEUE.get()


def reads(here):
    here.reached.set()
    RIGHT.recv(1)


def joins(here):
    other = threading.Thread(target=here.release.wait)
    other.start()
    here.reached.set()
    other.join()


def waits_for_event(here):
    here.reached.set()
    here.release.wait()


def waits_for_semaphore(here):
    semaphore = threading.Semaphore(0)
    threading.Thread(target=lambda: here.release.wait() and semaphore.release()).start()
    here.reached.set()
    with semaphore:
        pass


def sleeps(here):
    here.reached.set()
    while not here.release.is_set():
        time.sleep(0.2)


def runs_a_loop(here):
    async def main():
        await asyncio.get_running_loop().run_in_executor(None, here.release.wait)

    here.reached.set()
    asyncio.run(main())


def standing_still(*functions):
    """The sampled threads, once each stands at the end of its way."""
    sampler = Sampler()

    def look():
        sampler.look()
        found = [s for s in sampler.states() if s.name in {f"stands-{f.__name__}" for f in functions}]
        now = time.monotonic()
        return found if all(now - state.since > 0.05 and state.parked(now) for state in found) else None

    return until(look)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (takes, "queue"), (reads, "socket"), (joins, "join"), (waits_for_event, "event"),
        (waits_for_semaphore, "semaphore"), (sleeps, "sleep"), (runs_a_loop, "event loop"),
    ],
)  # fmt: skip
def test_what_a_thread_waits_for_is_told(body, kind):
    with standing(body):
        try:
            (state,) = standing_still(body)
            assert waits.kind_of(state.stack) == kind
        finally:
            QUEUE.put(None)
            LEFT.send(b"x")
    while not QUEUE.empty():
        QUEUE.get()
    while select.select([RIGHT], [], [], 0)[0]:
        RIGHT.recv(100)


@pytest.mark.parametrize(
    ("holder", "waiter", "lock", "wanted", "held"),
    [
        (holds, wants, "LOCK", "wanted", "held"),
        (holds_by_hand, wants_by_hand, "OTHER", "wanted by hand", "held by hand"),
    ],
)
def test_who_waits_for_a_lock_and_who_holds_it(holder, waiter, lock, wanted, held):
    with standing(holder, waiter):
        states = standing_still(holder, waiter)
        (group,) = waits.lock_groups(states, time.monotonic(), 0.01)
        assert (group.lock, group.threads) == (lock, (f"stands-{waiter.__name__}",))
        assert (group.place.file, group.place.line) == (__file__, line_of(wanted))
        assert (group.holder.thread, group.holder.place.line) == (f"stands-{holder.__name__}", line_of(held))
        assert group.holder.kind == "event"
        assert waits.lock_groups(states, time.monotonic(), 3600.0) == []


def test_one_that_released_it_does_not_hold_it():
    with standing(released_before):
        (state,) = standing_still(released_before)
        place = Place(file=__file__, line=line_of("wanted by hand"), function="wants_by_hand")
        assert waits.find_holder(place, "OTHER", [state], time.monotonic()) is None


def test_the_lock_of_a_line_is_what_its_source_calls_it():
    assert waits.lock_at(Place(file=__file__, line=line_of("wanted"), function="wants")) == "LOCK"
    assert waits.lock_at(Place(file=__file__, line=1)) == ""
    assert waits.lock_at(Place(file="/nowhere.py", line=1)) == ""


def test_threads_that_stand_still_are_counted_by_line():
    with standing(waits_for_event, waits_for_event, takes):
        try:
            rows = waits.parked(standing_still(waits_for_event, takes), time.monotonic(), 0.01)
            assert [(kind, len(names)) for _place, kind, names in rows] == [("event", 2), ("queue", 1)]
        finally:
            QUEUE.put(None)
