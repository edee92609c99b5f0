"""The callbacks about work, queues, schedulers, binaries, atoms and loops."""

from __future__ import annotations

import asyncio
import gc
import json
import queue
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from beamlens.domains import RuntimeDomain
from beamlens.domains.runtime import binaries, queues
from beamlens.domains.runtime.binaries import Group, Scan
from beamlens.domains.runtime.queues import Line, QueueHistory
from beamlens.probes import stack_profile
from beamlens.probes.frames import Frame
from beamlens.probes.interned import Stack
from beamlens.probes.sampler import SampledThread, sampler
from beamlens.testing import check_domain
from beamlens_actors import Actor
from beamlens_actors.testing import FakeClock
from tests.support.threads import until


@pytest.fixture
def domain():
    before = set(threading.enumerate())
    domain = RuntimeDomain()
    yield domain
    running = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("beamlens-")]
    domain.close()
    for thread in running:
        thread.join(20)


def ask(domain, name, *arguments):
    answer = domain.callbacks()[f"runtime_{name}"](*arguments)
    assert json.loads(json.dumps(answer)) == answer
    return answer


@pytest.fixture
def history(monkeypatch):
    """Five windows in which thread 1 burns 10 % of a core, and one in which it burns 60 % and thread 2 5 %."""
    profile = stack_profile.Profile()
    now = time.monotonic()
    stack = Stack((Frame("/srv/shop.py", 7, "price", "shop"),))
    for number in range(6):
        window = stack_profile.Window(now - 60 + 10 * number, seconds=10.0, cpu=1.0 if number < 5 else 6.5)
        window.burn(1, 101, "steady", 1.0 if number < 5 else 6.0)
        if number == 5:
            window.burn(2, 102, "new", 0.5)
        window.add(stack, 10.0, 1.0)
        profile.windows.append(window)
    monkeypatch.setattr(sampler, "profile", profile)
    steady, gone = SampledThread(1, 101, "steady", stack, now), SampledThread(3, 103, "quiet", stack, now)
    monkeypatch.setattr(sampler, "threads", {1: steady, 3: gone})
    return profile


@pytest.mark.parametrize(
    "name",
    ["top_reducers_window", "burst_detection", "scheduler_health", "scheduler_capacity_available", "hot_changes"],
)
def test_without_history_the_answer_is_not_yet(domain, name):
    assert ask(domain, name)["error"] == "not_yet"


@pytest.mark.usefixtures("history")
def test_threads_are_ranked_by_the_cpu_of_the_window_and_no_call_waits(domain):
    began = time.thread_time()
    answer = ask(domain, "top_reducers_window", 1, 5000)
    assert time.thread_time() - began < 5
    (row,) = answer["threads"]
    assert (row["pid"], row["name"], row["cpu_seconds"], row["cpu_pct"]) == (101, "steady", 6.0, 60.0)
    assert row["at"] == "/srv/shop.py:7 price"
    assert answer["covered_ms"] == 10_000


@pytest.mark.usefixtures("history")
def test_a_burst_is_a_rate_above_the_rate_before_and_not_a_total(domain):
    answer = ask(domain, "burst_detection", 5000, 200)
    by_name = {row["name"]: row for row in answer["bursts"]}
    assert (by_name["steady"]["cpu_pct"], by_name["steady"]["baseline_pct"]) == (60.0, 10.0)
    assert by_name["new"]["baseline_pct"] is None
    # Its total of one window is far below the total of five: compared as totals, nothing is a burst.
    assert "steady" not in {row["name"] for row in ask(domain, "burst_detection", 5000, 700)["bursts"]}
    # Over 30 s it burnt as it did before: twice nothing is no burst.
    assert "steady" not in {row["name"] for row in ask(domain, "burst_detection", 29_000, 300)["bursts"]}


@pytest.mark.usefixtures("history")
def test_the_rate_of_one_thread_has_a_trend_and_unknown_ones_are_told_from_ended_ones(domain):
    assert ask(domain, "reduction_rate", "steady", 5000)["trend"] == "very_high"
    assert ask(domain, "reduction_rate", "101", 5000)["cpu_pct"] == 60.0
    assert ask(domain, "reduction_rate", "quiet", 5000)["trend"] == "idle"
    assert ask(domain, "reduction_rate", "new", 5000)["error"] == "process_died"
    unknown = ask(domain, "reduction_rate", "nobody", 5000)
    assert unknown["error"] == "process_not_found"
    assert "quiet, steady" in unknown["message"]


@pytest.mark.usefixtures("history")
def test_schedulers_are_judged_by_the_cpu_of_the_window_without_switching_anything_on(domain):
    before = [thread.name for thread in threading.enumerate()]
    used = ask(domain, "scheduler_utilization", 5000)
    assert (used["utilization_pct"], used["busiest_thread_pct"], used["next_thread_pct"]) == (65.0, 60.0, 5.0)
    assert used["imbalanced"] is True
    assert ask(domain, "scheduler_capacity_available")["available"] is True
    health = ask(domain, "scheduler_health")
    assert (health["status"], health["imbalance_factor"]) == ("healthy", 12.0)
    assert [thread.name for thread in threading.enumerate()] == before


def test_a_full_core_is_no_capacity(domain, history):
    history.windows[-1].cpu = 9.5
    assert ask(domain, "scheduler_capacity_available")["available"] is False
    assert ask(domain, "scheduler_health")["status"] == "warning"


@pytest.mark.usefixtures("history")
def test_hot_functions_come_from_history(domain):
    (row,) = ask(domain, "hot_functions", 5, 60_000)
    assert (row["at"], row["share"], row["cpu_seconds"]) == ("/srv/shop.py:7 price", 1.0, 6.0)


def test_huge_and_negative_windows_and_limits_are_taken(domain, history):
    for window in (-1, 0, 10**18):
        assert "error" not in ask(domain, "top_reducers_window", -5, window)


def test_lines_are_told_of_actors_executors_and_queues_the_longest_first(domain, monkeypatch):
    release, entered = threading.Event(), threading.Event()

    class Clerk(Actor):
        def on_receive(self, _message):
            entered.set()
            release.wait()

    held = queue.Queue()
    monkeypatch.setattr(sys.modules[__name__], "HELD", held, raising=False)
    clerk = Clerk.options(name="clerk").start()
    with ThreadPoolExecutor(1, thread_name_prefix="press") as pool:
        clerk.tell("first")
        assert entered.wait(20)
        for _ in range(9):
            clerk.tell("more")
        for _ in range(4):
            pool.submit(release.wait)
        for number in range(5):
            held.put(number)
        until(lambda: {"kind": "executor", "name": "press", "message_queue": 3} in ask(domain, "queue_processes", 2))
        rows = ask(domain, "queue_processes", 2)
        stats = ask(domain, "queue_stats")
        release.set()
    clerk.stop()
    assert rows[0] == {"kind": "actor", "name": "clerk", "message_queue": 9}
    assert {"kind": "queue", "name": f"{__name__}.HELD", "message_queue": 5} in rows
    assert [row["message_queue"] for row in rows] == sorted((row["message_queue"] for row in rows), reverse=True)
    assert (stats["max_queue_size"], stats["max_queue_process"]) == (9, "actor clerk")
    assert ask(domain, "queue_processes", 9) == []


def test_at_most_fifty_lines_are_listed(domain, monkeypatch):
    monkeypatch.setattr(queues, "now", lambda **_: [Line("queue", str(n), 2000) for n in range(80)])
    assert len(ask(domain, "queue_processes")) == 50
    assert ask(domain, "queue_stats")["processes_with_large_queues"] == 80


def test_growth_of_lines_comes_from_what_was_noted_and_does_not_wait(domain, monkeypatch):
    assert ask(domain, "queue_growth")["error"] == "not_yet"
    size = [0]
    monkeypatch.setattr(queues, "now", lambda **_: [Line("executor", "press", size[0]), Line("actor", "calm", 3)])
    with FakeClock() as clock:
        for _ in range(20):
            domain.watch.queues.note()
            size[0] += 10
            clock.advance(1)
    answer = ask(domain, "queue_growth", 5000, 10)
    assert answer["interval_ms"] == 5000
    (row,) = answer["queues"]
    assert (row["name"], row["before"], row["message_queue"], row["per_second"]) == ("press", 140, 190, 10.0)
    assert len(ask(domain, "queue_growth", 10**12, 10)["queues"]) == 1


def test_what_was_noted_is_bounded(monkeypatch):
    monkeypatch.setattr(queues, "now", lambda **_: [Line("queue", str(n), 1) for n in range(500)])
    history = QueueHistory()
    with FakeClock() as clock:
        for _ in range(700):
            history.note()
            clock.advance(1)
    assert len(history._looks) == 300
    assert len(history._looks[0][1]) == 100


def test_binaries_are_told_by_who_holds_them(domain, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "BLOBS", [bytes(200_000) + bytes([n]) for n in range(5)], raising=False)
    rows = ask(domain, "binary_top_memory", 50)["holders"]
    row = next(row for row in rows if row["holder"] == f"{__name__}.BLOBS")
    assert (row["binary"], row["binary_count"]) == ("bytes", 5)
    assert row["binary_memory_kb"] > 1000
    info = ask(domain, "binary_info", row["pid"])
    assert len(info["largest_kb"]) == 5
    unknown = ask(domain, "binary_info", "nobody")
    assert unknown["error"] == "process_not_found"


def scan(**sizes):
    groups = {name: Group("bytes", name, count=1, size=size) for name, size in sizes.items()}
    return Scan(0.0, groups, complete=True)


def test_growth_of_binaries_is_by_holder_once_a_minute_whoever_asks(domain, monkeypatch):
    # The holders come in another order, and one is gone: by position, "a" would be compared with "b".
    scans = iter([scan(b=1000, a=5000, gone=9), scan(a=5000, new=300, b=4000)])
    monkeypatch.setattr(binaries, "scan", lambda: next(scans))
    with FakeClock() as clock:
        assert ask(domain, "binary_leak")["grown"] == []
        limited = ask(domain, "binary_leak")
        assert (limited["error"], limited["retry_after_s"]) == ("rate_limited", 60.0)
        clock.advance(61)
        grown = ask(domain, "binary_leak")["grown"]
    assert [(row["pid"], row["grown_kb"]) for row in grown] == [("b", 3.0), ("new", 0.3)]


def test_looking_for_binaries_forces_no_collection(domain):
    import gc

    collections = []
    gc.callbacks.append(lambda phase, info: collections.append(info["generation"]) if phase == "start" else None)
    try:
        gc.disable()
        ask(domain, "binary_top_memory")
    finally:
        gc.enable()
        gc.callbacks.pop()
    assert collections == []


def test_a_heap_that_is_too_large_is_not_gone_through(domain, monkeypatch):
    monkeypatch.setattr(binaries, "_MOST_BLOCKS", 1)
    for name, arguments in (("binary_top_memory", ()), ("binary_leak", ()), ("binary_info", ("x",))):
        assert ask(domain, name, *arguments)["error"] == "too_large"


@pytest.mark.parametrize(("frozen", "complete"), [(0, True), (7, False)])
def test_a_scan_that_cannot_see_what_the_program_has_frozen_says_that_it_is_not_complete(monkeypatch, frozen, complete):
    monkeypatch.setattr(gc, "get_freeze_count", lambda: frozen)
    assert binaries.scan(longest=60.0).complete is complete


def test_a_scan_that_takes_too_long_says_that_it_is_not_complete():
    held = [[number] for number in range(10_000)]
    assert binaries.scan(longest=-1.0).complete is False
    assert len(held) == 10_000


def test_interned_strings_grow_at_a_rate(domain, monkeypatch):
    if sys.version_info < (3, 12):
        assert ask(domain, "atom_growth_rate")["error"] == ask(domain, "atom_leak_detected")["error"] == "unsupported"
        monkeypatch.setattr(sys, "getunicodeinternedsize", lambda: 1, raising=False)
    assert ask(domain, "atom_growth_rate")["urgency"] == "insufficient_history"
    for minute in range(12):
        domain.watch.atoms.append((60.0 * minute, 1000 + 200 * minute))
    answer = ask(domain, "atom_growth_rate", 5)
    assert (answer["growth"], answer["per_minute"], answer["covered_minutes"]) == (1000, 200.0, 5.0)
    assert answer["hours_until_exhausted"] is None
    leak = ask(domain, "atom_leak_detected")
    assert (leak["suspected"], leak["per_minute"]) == (True, 200.0)
    domain.watch.atoms.clear()
    domain.watch.atoms.extend([(0.0, 5), (600.0, 5)])
    assert ask(domain, "atom_leak_detected")["suspected"] is False


def test_tasks_and_executors_are_listed(domain):
    async def main():
        event = asyncio.Event()
        made = [asyncio.create_task(event.wait(), name=f"w{n}") for n in range(3)]
        await asyncio.sleep(0)
        found = await asyncio.to_thread(ask, domain, "get_tasks")
        pools = await asyncio.to_thread(ask, domain, "get_executors")
        event.set()
        await asyncio.gather(*made)
        return found, pools

    found, pools = asyncio.run(main())
    assert found["groups"][0]["tasks"] == 3
    assert found["groups"][0]["coroutine"] == "Event.wait"
    assert pools[0]["threads"] >= 1
    assert pools[0]["stuck_s"] is None


def test_a_watched_domain_keeps_the_contract(domain):
    domain.sense()
    until(lambda: sampler.threads)
    check_domain(domain)


def test_the_sampler_runs_only_while_the_sensors_are_read(domain):
    domain.snapshot()
    assert domain.snapshot()["_unavailable"]["loop_blocked_pct"] == "measured while this domain is watched"
    assert not sampler.running
    domain.sense()
    assert sampler.running
    assert domain.snapshot()["loop_blocked_pct"] == 0.0
    domain.watch.stop()
    assert not sampler.running


def test_without_a_thread_for_the_sampler_the_rest_is_still_told(domain, monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(sampler, "start", refuse)
    sensed = domain.sense()
    assert sensed["loop_blocked_pct"] is None
    assert sensed["task_count"] is not None


def test_modules_and_other_types_of_c_are_not_asked_what_they_hold():
    class Plain:
        pass

    class Slotted:
        __slots__ = ("blob",)

    class Lazy(type(sys)):
        pass

    assert [binaries._is_asked(kind) for kind in (dict, list, Plain, Slotted)] == [True] * 4
    assert [binaries._is_asked(kind) for kind in (type(sys), Lazy, type(sys._getframe()), type)] == [False] * 4
