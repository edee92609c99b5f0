"""Real threads and real neighbours: only who keeps the GIL is blamed."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import threading
import time

import pytest

from beamlens.probes.gil import GilTicker


@pytest.fixture
def ticker():
    made = GilTicker()
    made.start()
    yield made
    made.stop()


def read_when_settled(ticker, seconds=3.2):
    """What the ticker says once its window is full of what runs now."""
    threading.Event().wait(seconds)
    reading = ticker.read()
    assert reading is not None
    return reading


@pytest.fixture
def burning():
    """Runs a function over and over in threads."""
    stop, threads = threading.Event(), []

    def run(fn, count=1):
        def loop():
            while not stop.is_set():
                fn()

        for _ in range(count):
            threads.append(threading.Thread(target=loop, daemon=True))
            threads[-1].start()

    yield run
    stop.set()
    for thread in threads:
        thread.join(10)


def wait_until_seen(ticker):
    """Until the contention passes the alarm's threshold: at once on a free machine, later on a busy one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        reading = ticker.read()
        if reading is not None and reading.contention_share >= 0.12:
            return True
        threading.Event().wait(0.2)
    return False


def test_a_regular_expression_that_keeps_the_gil_is_seen(ticker, burning):
    burning(lambda: re.match(r"(a+)+b", "a" * 21))
    assert wait_until_seen(ticker)


def test_a_python_loop_is_seen(ticker, burning):
    burning(lambda: sum(number * number for number in range(2000)))
    assert wait_until_seen(ticker)


def test_work_that_gives_the_gil_away_is_no_contention(ticker, burning):
    data = b"x" * 20_000_000
    burning(lambda: hashlib.sha256(data).digest())
    assert read_when_settled(ticker).contention_share < 0.1


def test_noisy_neighbours_are_no_contention(ticker):
    neighbours = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        assert read_when_settled(ticker).contention_share == 0.0
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


def test_it_runs_while_somebody_uses_it(ticker):
    ticker.start()
    ticker.stop()
    before = len(ticker._ticks)
    deadline = time.monotonic() + 10
    while len(ticker._ticks) == before and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert len(ticker._ticks) > before


def test_before_it_has_ticked_for_half_a_second_it_says_nothing():
    assert GilTicker().read() is None
