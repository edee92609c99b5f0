from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from beamlens.probes.rates import Rates
from beamlens_actors.testing import FakeClock


@given(st.lists(st.integers(0, 400), max_size=200), st.integers(1, 360))
def test_a_window_counts_as_a_plain_list_of_times_would(gaps, window):
    with FakeClock(epoch=1_000_000.0) as clock:
        rates, times = Rates(), []
        for gap in gaps:
            clock.advance(gap / 10)
            rates.add("x")
            times.append(int(clock.time()))
        now = int(clock.time())
        assert rates.count("x", window) == sum(1 for time in times if time > now - window)
        assert rates.count("x", window, whole=True) == sum(1 for t in times if now - window <= t < now)


def test_what_is_old_is_forgotten():
    with FakeClock() as clock:
        rates = Rates()
        for _ in range(5000):
            rates.add("x")
            clock.advance(1.0)
        assert len(rates._counts) <= 2 * 360


def test_threads_lose_no_event():
    rates = Rates()

    def work():
        for _ in range(5000):
            rates.add("x")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rates.count("x", 360) == 40_000
