from __future__ import annotations

import gc
import json
import threading
from datetime import UTC, datetime

import pytest

from beamlens.detect import SensorBank, SensorState
from beamlens.domains import VmEventsDomain
from beamlens.domains.vm_events import recorder as module
from beamlens.domains.vm_events.recorder import KINDS, Event, EventRecorder
from beamlens.evidence import Strength
from beamlens.probes import gc_pauses, waits
from beamlens.probes.frames import Frame
from beamlens.probes.gc_pauses import pauses
from beamlens.probes.interned import Stack
from beamlens.probes.loops import Stall, loops
from beamlens.probes.sampler import GilHeld, sampler
from beamlens.testing import check_domain
from beamlens_actors import clock
from beamlens_actors.testing import FakeClock
from tests.support.threads import standing, until

LOCK = threading.Lock()
STACK = Stack((Frame("/srv/shop.py", 7, "price", "shop"),))


@pytest.fixture
def domain():
    domain = VmEventsDomain()
    domain.recorder.install()
    yield domain
    running = [thread for thread in threading.enumerate() if thread.name == "beamlens-sampler"]
    domain.close()
    for thread in running:
        thread.join(20)


def ask(domain, name, *arguments):
    answer = domain.callbacks()[f"vm_events_{name}"](*arguments)
    assert json.loads(json.dumps(answer)) == answer
    return answer


def test_it_keeps_the_contract(domain):
    check_domain(domain)
    check_domain(VmEventsDomain())


def test_what_has_no_counterpart_is_none_with_the_reason(domain):
    snapshot = domain.snapshot()
    missing = {name for name, value in snapshot.items() if value is None}
    assert missing == {"busy_port_events_5m", "busy_dist_port_events_5m", "affected_port_count"}
    assert missing == set(snapshot["_unavailable"])


def test_without_a_store_nothing_is_known_and_it_says_so():
    domain = VmEventsDomain()
    snapshot = domain.snapshot()
    assert snapshot["long_gc_events_5m"] is None
    assert "EventStore" in snapshot["_unavailable"]["long_gc_events_5m"]
    assert domain.sense() == {}
    assert ask(domain, "stats")["error"] == ask(domain, "events")["error"] == "not_available"


def test_what_it_installs_is_taken_out_and_no_one_else_s(domain):
    def foreign(_phase, _info):
        pass

    gc.callbacks.append(foreign)
    try:
        assert pauses.installed
        assert sampler.running
        domain.recorder.install()
        domain.close()
        assert not pauses.installed
        assert not sampler.running
        assert foreign in gc.callbacks
        domain.close()
    finally:
        gc.callbacks.remove(foreign)


def test_a_long_collection_is_an_event_with_its_stack_and_the_time_of_the_wall(domain, monkeypatch):
    monkeypatch.setattr(gc_pauses, "LONG", 0.0)
    before = datetime.now(UTC)
    gc.collect()
    sampler.held.append(GilHeld(clock.time(), 0.4, "cruncher", STACK))  # what the sampler notes of a long one
    event = next(one for one in ask(domain, "events", "long_gc") if "generation 2" in one["detail"])
    assert before <= datetime.fromisoformat(event["time"]) <= datetime.now(UTC)
    assert (event["thread"], event["at"]) == ("cruncher", "/srv/shop.py:7 price")
    assert domain.snapshot()["long_gc_events_5m"] >= 1
    assert domain.snapshot()["gil_held_events_5m"] == 0
    (why,) = domain.evidence(SensorState("long_gc", "m", "long_gc", "warning", "r", 0.0, 1.0))
    assert why.strength == Strength.CONCLUSIVE
    assert "stopped all threads" in why.text


def test_a_kept_gil_and_a_slow_callback_are_events(domain):
    now = clock.time()
    sampler.held.append(GilHeld(now, 0.4, "cruncher", STACK))
    loops.stalls.append(Stall(now, 0.9, 0.0, 0.0, "server", ((STACK, 0.9),)))
    loops.stalls.append(Stall(now, 0.5, 0.1, 0.5, "server", ((STACK, 0.2), (Stack(()), 0.3))))  # the GIL of others
    snapshot = domain.snapshot()
    assert (snapshot["gil_held_events_5m"], snapshot["slow_callback_events_5m"]) == (1, 1)
    assert (snapshot["long_schedule_events_5m"], snapshot["max_schedule_duration_ms"]) == (2, 900.0)
    assert snapshot["affected_process_count"] == 2
    assert domain.snapshot()["long_schedule_events_5m"] == 2  # each counts once, however often it is asked
    stats = ask(domain, "stats")
    assert stats["by_type"] == {"long_gc": 0, "gil_held": 1, "slow_callback": 1, "lock_wait": 0}
    assert stats["by_place"] == {"srv/shop.py:7 in price": 2}


def test_an_unknown_type_is_answered_with_the_choices(domain):
    answer = ask(domain, "events", "busy_port")
    assert answer["error"] == "bad_argument"
    assert all(kind in answer["message"] for kind in KINDS)
    assert ask(domain, "events", "", 10**9) == []


def event(at, kind="gil_held"):
    return Event(kind, at, 0.2, "t", STACK.frames)


def test_the_ring_holds_five_hundred_of_five_minutes_newest_first_and_counts_what_it_drops():
    with FakeClock() as fake:
        recorder = EventRecorder()
        for number in range(1, 601):
            recorder._add(event(clock.time() + number * 1e-3))
        held = recorder.events()
        assert len(held) == 500
        assert held[0].at > held[-1].at
        assert recorder.dropped == 100
        fake.advance(301)
        assert recorder.events() == []
        recorder._add(event(clock.time()))
        assert recorder.dropped == 100  # what is older than five minutes is no loss


def holds(here):
    with LOCK:
        here.reached.set()
        here.release.wait()  # held


def wants(here):
    here.reached.set()
    with LOCK:
        pass


def test_threads_that_wait_for_a_lock_are_told_with_its_holder_and_are_an_event_once_it_is_over(domain, monkeypatch):
    monkeypatch.setattr(module, "LOCK_WAIT", 0.05)
    with standing(holds, wants):
        until(lambda: domain.sense()["lock_wait_s"] > 0)
        going = ask(domain, "events", "lock_wait")
        found = domain.evidence(SensorState("lock_wait", "m", "lock_wait", "warning", "r", 0.0, 1.0))
    # Threads that other tests left may wait as well.
    (why,) = [piece for piece in found if "the lock LOCK" in piece.text]
    assert "stands-wants" in [event["thread"] for event in going]
    assert why.strength == Strength.CONCLUSIVE
    assert why.data["holder"] == "stands-holds"
    assert "here.release.wait()" in why.text
    assert until(lambda: [e for e in domain.recorder.events() if e.detail == "for the lock LOCK"])


def parks(here):
    own = threading.Lock()
    own.acquire()
    threading.Thread(target=lambda: here.release.wait() and own.release()).start()
    here.reached.set()
    own.acquire()


def test_one_thread_that_is_parked_on_a_lock_of_its_own_is_no_trouble(domain, monkeypatch):
    monkeypatch.setattr(module, "LOCK_WAIT", 0.05)
    waiting = domain.recorder.waiting
    with standing(parks):
        # Threads that other tests left may wait as well.
        monkeypatch.setattr(domain.recorder, "waiting", lambda: [g for g in waiting() if "stands-parks" in str(g)])
        until(domain.recorder.waiting)
        assert domain.sense()["lock_wait_s"] == 0.0


def test_a_short_trouble_is_no_alarm_and_a_lasting_one_is():
    bank = SensorBank(VmEventsDomain().all_sensors())
    quiet = {"gc_pause_ms": 150.0, "gc_paused_pct": 2.0, "lock_wait_s": 6.0, "loop_blocked_pct": 5.0}
    for second in range(60):
        bank.feed(float(second), quiet)
    assert bank.active() == ()
    bad = {"gc_pause_ms": 1500.0, "gc_paused_pct": 20.0, "lock_wait_s": 12.0, "loop_blocked_pct": 40.0}
    for second in range(60, 70):
        bank.feed(float(second), bad)
    assert {state.anomaly_type for state in bank.active()} == {"long_gc", "lock_wait", "blocked_loop"}


def test_a_lock_without_a_visible_holder_is_said_to_have_none(domain):
    from beamlens.domains import stuck
    from beamlens.evidence import Place

    group = waits.LockGroup(Place(file=__file__, line=1), "LOCK", ("a", "b"), (1, 2), 12.0, None)
    (why,) = stuck.explain_locks([group])
    assert "no thread is seen that holds it" in why.text
    assert stuck.explain_locks([]) == []


def test_a_recorder_without_threads_installs_nothing(monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    recorder = EventRecorder()
    monkeypatch.setattr(sampler, "start", refuse)
    with pytest.raises(RuntimeError):
        recorder.install()
    assert not pauses.installed
