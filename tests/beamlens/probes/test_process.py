from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
import threading
from contextlib import ExitStack

import pytest

from beamlens.probes import process


def test_the_numbers_follow_the_process():
    before = process.read()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with ExitStack() as held:
        held.callback(thread.join)
        held.callback(stop.set)
        for _ in range(7):
            held.enter_context(open("/dev/null"))
        now = process.read()
    assert now.descriptors - before.descriptors == 7
    assert now.threads - before.threads == 1
    assert now.python_threads - before.python_threads == 1
    assert 0 < now.rss <= now.vms
    assert now.cpu_seconds >= before.cpu_seconds


@pytest.fixture
def old_kernel(monkeypatch):
    """The size of ``/proc/self/fd`` is 0, as before Linux 6.2."""
    real = os.stat

    def stat(path, **options):
        if path == "/proc/self/fd":
            return os.stat_result((0,) * 10)
        return real(path, **options)

    monkeypatch.setattr(os, "stat", stat)


@pytest.mark.usefixtures("old_kernel")
def test_an_old_kernel_has_its_descriptors_listed():
    before = process.descriptors()
    with open("/dev/null"), open("/dev/null"):
        assert process.descriptors() == before + 2


@pytest.mark.usefixtures("old_kernel")
def test_a_system_that_does_not_tell_descriptors_gives_none(monkeypatch):
    monkeypatch.setattr(process, "this_process", object)
    assert process.descriptors() is None


@pytest.mark.usefixtures("old_kernel")
def test_when_none_is_left_to_count_them_with_all_are_open(monkeypatch):
    import resource

    class Exhausted:
        def num_fds(self):
            raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(process, "this_process", Exhausted)
    assert process.descriptors() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def run(program):
    """What a program of its own prints, from JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def test_a_process_without_descriptors_is_still_looked_at():
    sensed, snapshot, failed = run("""
        import json, resource
        from beamlens.domains.runtime import RuntimeDomain
        domain = RuntimeDomain()
        domain.sense()
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
        held = []
        try:
            while True:
                held.append(open("/dev/null"))
        except OSError:
            pass
        from_sensors, snapshot = domain.sense(), domain.snapshot()
        failed = domain.callbacks()["runtime_get_memory"]()
        for file in held:
            file.close()
        domain.close()
        print(json.dumps([from_sensors, snapshot, failed]))
    """)
    assert sensed["descriptor_count"] >= 45
    assert sensed["memory_mb"] is None
    assert "Too many open files" in snapshot["_unavailable"]["memory_mb"]
    assert failed["error"] == "unavailable"


def test_a_forked_child_reads_itself():
    child, read = run("""
        import json, os
        from beamlens.probes import process
        process.read()
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.write(writer, str(process.this_process().pid).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        with os.fdopen(reader) as file:
            print(json.dumps([child, int(file.read())]))
    """)
    assert read == child


def test_the_cpu_of_threads_is_told_by_their_native_ids():
    assert threading.get_native_id() in process.thread_cpu()
