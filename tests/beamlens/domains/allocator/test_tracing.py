"""tracemalloc on request: allowed, bounded, ended, and the host's own left alone."""

from __future__ import annotations

import os
import threading
import tracemalloc

import pytest

from beamlens.domains import AllocatorDomain
from beamlens.domains.allocator import tracing
from beamlens.testing import check_domain
from beamlens_actors.testing import FakeClock


@pytest.fixture
def domain():
    domain = AllocatorDomain(tracing=True)
    yield domain
    domain.close()
    assert not tracemalloc.is_tracing()
    for thread in threading.enumerate():
        if thread.name == "beamlens-tracemalloc":
            thread.join(10)


def test_without_the_users_leave_it_is_refused():
    domain = AllocatorDomain()
    for callback in (domain.trace_start, domain.trace_stop, domain.trace_top):
        assert callback()["error"] == "not_allowed"
    assert not tracemalloc.is_tracing()


def test_with_it_the_contract_is_kept_too(domain):
    check_domain(domain)


def test_the_line_that_allocated_and_kept_is_named(domain):
    assert domain.trace_start(30, 1)["tracing"] is True
    kept = [object() for _ in range(50_000)]  # here
    top = domain.trace_top(3)
    domain.trace_stop()
    line = test_the_line_that_allocated_and_kept_is_named.__code__.co_firstlineno + 2
    assert top["lines"][0]["at"] == f"allocator/test_tracing.py:{line}"
    assert top["lines"][0]["kb"] >= 800
    assert len(kept) == 50_000


def test_what_was_found_stays_after_the_end_and_what_was_freed_is_not_in_it(domain):
    domain.trace_start(30, 1)
    kept = [bytearray(100) for _ in range(5_000)]
    del kept
    ended = domain.trace_stop()
    assert (ended["tracing"], ended["ended"]) == (False, "asked to")
    assert domain.trace_top(50)["total_kb"] < 400


def test_it_ends_by_itself(domain):
    with FakeClock() as clock:
        domain.trace_start(2, 1)
        watcher = watching()
        for _ in range(8):
            clock.wait_for_waiters(1, within=1.0)
            clock.advance(0.25)
        watcher.join(10)
        assert domain.trace_stop()["ended"] == "its time was over"
    assert not tracemalloc.is_tracing()


def test_seconds_and_frames_are_bounded(domain):
    answer = domain.trace_start(10_000, 500)
    assert (answer["seconds"], answer["frames"]) == (60.0, 5)


def test_it_ends_when_its_own_memory_grows_too_large(domain, monkeypatch):
    monkeypatch.setattr(tracing, "MOST_BYTES", 100_000)
    domain.trace_start(60, 1)
    watcher = watching()
    kept = [object() for _ in range(50_000)]
    watcher.join(10)
    assert "its own memory reached" in domain.trace_stop()["ended"]
    assert domain.trace_top(1)["lines"][0]["blocks"] >= 40_000
    assert len(kept) == 50_000


def test_the_hosts_own_tracing_is_left_alone(domain):
    tracemalloc.start(3)
    try:
        assert domain.trace_start()["error"] == "in_use"
        domain.trace_stop()
        domain.close()
        assert tracemalloc.is_tracing()
        assert tracemalloc.get_traceback_limit() == 3
    finally:
        tracemalloc.stop()


def test_when_the_host_ends_it_that_is_said(domain):
    domain.trace_start(30, 1)
    watcher = watching()
    tracemalloc.stop()
    watcher.join(10)
    assert domain.trace_stop()["ended"] == "the program ended it"


def test_a_second_one_is_refused(domain):
    domain.trace_start(30, 1)
    assert domain.trace_start(30, 1)["error"] == "already_tracing"
    assert AllocatorDomain(tracing=True).trace_start()["error"] == "already_tracing"


def test_without_a_thread_to_end_it_none_is_started(domain, monkeypatch):
    def none_left(_run, _name):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(tracing, "spawn", none_left)
    assert domain.trace_start()["error"] == "unavailable"
    assert not tracemalloc.is_tracing()


def test_a_forked_child_does_not_trace(domain):
    domain.trace_start(30, 1)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"yes" if tracemalloc.is_tracing() else b"no")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"no"
    os.close(read)
    os.close(write)
    assert tracemalloc.is_tracing()


def watching():
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "beamlens-tracemalloc"]
    return thread
