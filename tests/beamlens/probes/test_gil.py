"""What the ticker makes of its lateness: with made-up ticks, and with real loads in this process and beside it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import textwrap
import threading
import time
from types import SimpleNamespace

import pytest

from beamlens.detect import SensorBank
from beamlens.domains.runtime import declared
from beamlens.probes import gil
from beamlens.probes.gil import GilTicker, gil_enabled, ticker

pytestmark = pytest.mark.skipif(not gil_enabled(), reason="measures the GIL")


@pytest.fixture
def ticks(monkeypatch):
    """Makes a ticker that has seen `count` ticks of the same kind; times in seconds."""
    stolen, queued = [0.0], [{}]
    monkeypatch.setattr(gil, "stolen_seconds", lambda _groups: stolen[0])
    monkeypatch.setattr(gil, "run_delays", lambda: queued[0])

    def make(*, late=0.0, waited=0.0, elsewhere=0.0, cores=0.0, told=True, span=3.0, taken=0.0):
        made = GilTicker()
        now = time.monotonic()
        made._told = told
        made._stolen = (now - span, 0.0)
        made._delays = (now - 1.0, {6: 0.0, 7: 0.0, **dict.fromkeys(range(100, 130), 0.0)}, 0.0)
        stolen[0] = taken
        period = 0.02 + late
        count = int(span / period)
        for number in range(count):
            at = now - span + (number + 1) * period
            made._ticks.append(gil._Tick(at, late, waited, elsewhere, cores * at))
        return made

    make.queued = queued
    return make


def test_an_idle_process_waits_for_nothing(ticks):
    reading = ticks(late=0.0001).read()
    assert (reading.contention_share, reading.contention_ms, reading.stall_ms) == (0.0, 0.0, 0.0)


def test_a_busy_thread_that_makes_others_wait_is_contention(ticks):
    reading = ticks(late=0.005, waited=0.005, cores=1.0).read()
    assert reading.contention_ms == pytest.approx(5.0)
    assert reading.contention_share == pytest.approx(0.2, abs=0.01)


def test_late_without_cpu_of_its_own_is_not_the_gil(ticks):
    reading = ticks(late=0.03, waited=0.03, cores=0.05).read()
    assert reading.lateness_ms == pytest.approx(30.0)
    assert reading.wait_share == pytest.approx(0.6, abs=0.02)
    assert (reading.contention_share, reading.contention_ms, reading.stall_ms) == (0.0, 0.0, 0.0)


def test_late_in_the_run_queue_is_not_the_gil_however_busy_the_process_is(ticks):
    reading = ticks(late=0.03, waited=0.0, elsewhere=0.03, cores=2.0).read()
    assert reading.contention_share == 0.0
    assert reading.elsewhere_share == pytest.approx(0.6, abs=0.02)


def test_what_a_hypervisor_or_a_control_group_takes_is_not_the_gil(ticks):
    reading = ticks(late=0.02, waited=0.02, cores=1.0, taken=1.5).read()
    assert reading.contention_share == pytest.approx(0.0, abs=0.02)


def test_a_starved_process_counts_what_its_busiest_thread_wanted(ticks):
    ticks.queued[0] = {7: 0.75}
    assert ticks(late=0.02, waited=0.02, cores=0.25).read().explained
    ticks.queued[0] = {7: 0.3}
    assert not ticks(late=0.02, waited=0.02, cores=0.25).read().explained
    ticks.queued[0] = {7: 0.75}
    made = ticks(late=0.02, waited=0.02, cores=0.25)
    assert [made.read().explained, made.read().explained] == [True, True]
    ticks.queued[0] = {8: 90.0}
    assert not ticks(late=0.02, waited=0.02, cores=0.25).read().explained


def test_many_threads_that_want_little_explain_nothing_on_a_starved_machine(ticks):
    ticks.queued[0] = dict.fromkeys(range(100, 130), 0.3)
    assert not ticks(late=0.02, waited=0.02, cores=0.25).read().explained


def test_what_beamlens_burns_itself_explains_nothing(ticks, monkeypatch):
    burned = {50: 0.0, 51: 0.0}
    threads = [SimpleNamespace(native_id=native) for native in burned]
    monkeypatch.setattr(gil.own_threads, "own_threads", lambda: threads)
    monkeypatch.setattr(gil, "cpu_seconds", lambda native: burned[native])
    found = []
    for own in (0.0, 0.8, 0.1):
        made = ticks(late=0.005, waited=0.005, cores=1.0)
        made._own = (time.monotonic() - 1.0, time.process_time() - 1.0, dict.fromkeys(burned, 0.0), 0.0)
        burned[51] = own
        found.append(made.read().explained)
    assert found == [True, False, True]


def test_where_the_run_queue_is_not_told_only_a_core_of_its_own_explains(ticks):
    assert not ticks(late=0.02, waited=0.02, cores=0.8, told=False).read().explained
    assert ticks(late=0.02, waited=0.02, cores=0.97, told=False).read().explained


def test_a_stall_must_be_covered_by_cpu_time(ticks):
    made = ticks(late=0.0001, cores=0.1)
    last = made._ticks[-1]
    made._ticks.append(gil._Tick(last.at, 0.15, 0.15, 0.0, last.cpu + 0.15))
    assert made.read().stall_ms == pytest.approx(150.0)
    made._ticks.append(gil._Tick(last.at, 0.4, 0.4, 0.0, made._ticks[-1].cpu + 0.1))
    assert made.read().stall_ms == pytest.approx(150.0)


def test_there_is_nothing_to_tell_at_first_and_after_a_pause(ticks):
    assert GilTicker().read() is None
    assert ticks(span=0.3).read() is None
    made = ticks()
    for number, tick in enumerate(list(made._ticks)):
        made._ticks[number] = gil._Tick(tick.at - 60, tick.late, tick.waited, tick.elsewhere, tick.cpu)
    assert made.read() is None


def test_the_thread_runs_while_anybody_uses_it():
    def running():
        return [thread for thread in threading.enumerate() if thread.name == "beamlens-gil-ticker"]

    assert not running()
    ticker.start()
    ticker.start()
    (thread,) = running()
    ticker.stop()
    assert running() == [thread]
    ticker.stop()
    thread.join(10)
    assert not thread.is_alive()
    ticker.stop()
    ticker.start()
    (again,) = running()
    ticker.stop()
    again.join(10)
    assert again is not thread


def test_a_forked_child_has_no_ticker_and_can_start_its_own():
    program = """
        import json, os, threading
        from beamlens.probes.gil import ticker
        ticker.start()
        ticker._lock.acquire()  # as another thread may at the moment of the fork
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            before = ticker.read()
            ticker.stop()
            ticker.start()
            names = [thread.name for thread in threading.enumerate()]
            ticker.stop()
            os.write(writer, json.dumps([before, names]).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as file:
            print(file.read())
        os.waitpid(child, 0)
        ticker._lock.release()
        ticker.stop()
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    before, names = json.loads(done.stdout)
    assert before is None
    assert names.count("beamlens-gil-ticker") == 1


SLOW = re.compile(r"(a+)+b")
BUFFER = bytes(4 << 20)


def python_loop(stop):
    number = 0
    while not stop.is_set():
        number += 1


def regular_expression(stop):
    while not stop.is_set():
        SLOW.match("a" * 20)


def hashing(stop):
    while not stop.is_set():
        hashlib.sha256(BUFFER).digest()


@pytest.fixture
def load():
    """Runs functions in threads."""
    stop = threading.Event()
    threads = []

    def run(*functions):
        for function in functions:
            threads.append(threading.Thread(target=function, args=(stop,), daemon=True))
            threads[-1].start()

    yield run
    stop.set()
    for thread in threads:
        thread.join(20)


@pytest.fixture
def neighbours():
    """Four processes that take what processors there are."""
    running = [subprocess.Popen([sys.executable, "-I", "-c", "while True: pass"]) for _ in range(4)]
    yield
    for process in running:
        process.kill()
    for process in running:
        process.wait()


@pytest.fixture
def ticking():
    ticker.start()
    threads = [thread for thread in threading.enumerate() if thread.name == "beamlens-gil-ticker"]
    yield
    ticker.stop()
    for thread in threads:
        thread.join(10)


def readings(count):
    """One reading each half second."""
    pause = threading.Event()
    found = []
    while len(found) < count:
        pause.wait(0.5)
        reading = ticker.read()
        if reading is not None:
            found.append(reading)
    return found


def eventually(condition, most=40):
    """Whether a reading meets a condition before `most` of them have not."""
    return any(condition(readings(1)[0]) for _ in range(most))


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize("hog", [python_loop, regular_expression])
def test_a_thread_that_keeps_the_gil_is_seen(load, hog):
    load(hog)
    assert eventually(lambda reading: reading.contention_share >= 0.15 and reading.contention_ms >= 4.0)


@pytest.mark.usefixtures("ticking", "neighbours")
def test_a_thread_that_keeps_the_gil_is_seen_among_noisy_neighbours(load):
    load(regular_expression)
    assert eventually(lambda reading: reading.contention_share >= 0.4)


@pytest.mark.usefixtures("ticking", "neighbours")
def test_noisy_neighbours_of_an_idle_process_are_not_the_gil():
    assert {reading.contention_share for reading in readings(6)} == {0.0}


@pytest.mark.usefixtures("ticking")
def test_threads_that_burn_the_processors_without_the_gil_are_no_contention(load):
    load(hashing, hashing, hashing)
    bank = SensorBank([sensor for sensor in declared.SENSORS if sensor.name.startswith("gil_")])
    for second, reading in enumerate(readings(8)):
        assert reading.contention_ms < 4.0
        bank.feed(float(second), {"gil_wait_pct": 100 * reading.contention_share, "gil_stall_ms": reading.stall_ms})
    assert bank.active() == ()
