from __future__ import annotations

import logging
import threading

from hypothesis import given
from hypothesis import strategies as st

from beamlens.domains.logger.counts import LevelCounts
from beamlens_actors.testing import FakeClock

LEVELS = st.sampled_from([10, 20, 30, 40, 50, 5, 25])
steps = st.lists(st.tuples(st.integers(0, 300), LEVELS, st.integers(1, 5)), max_size=80)


def count(counts, created, level):
    """As the recorder does it on the host's threads."""
    begins, ends, counters = counts.latest
    if begins <= created < ends and level in counters:
        next(counters[level])
    else:
        counts.take(created, level)


@given(steps, st.integers(1, 119), st.booleans())
def test_windows_count_as_a_plain_list_of_records_would(steps, window, whole):
    with FakeClock(epoch=1_000_000.0) as clock:
        counts, model = LevelCounts(), []
        for tenths, level, times in steps:
            clock.advance(tenths / 10)
            for _ in range(times):
                count(counts, clock.time(), level)
                model.append((int(clock.time()), level))
        last = int(clock.time()) - (1 if whole else 0)
        expected: dict[int, int] = {}
        for second, level in model:
            if last - window < second <= last:
                expected[level] = expected.get(level, 0) + 1
        assert counts.counts(window, whole=whole) == expected
        assert counts.total() == len(model)


@given(st.lists(st.one_of(st.floats(), st.floats(-1e5, 1e5)), max_size=100))
def test_whatever_time_a_record_claims_it_is_counted_and_memory_stays_bounded(times):
    with FakeClock(epoch=1_000_000.0) as clock:
        counts = LevelCounts()
        for offset in times:
            counts.take(clock.time() + offset, logging.ERROR)
            clock.advance(1)
        assert counts.total() == len(times)
        assert all(abs(second - 1_000_000) <= len(times) + 2 for second, _level in counts.by_second)


def test_a_record_of_another_time_is_counted_now():
    with FakeClock() as clock:
        counts = LevelCounts()
        for created in (clock.time() - 86_400, clock.time() + 86_400, float("nan"), float("inf"), None):
            counts.take(created, logging.ERROR)
        assert counts.counts(60) == {logging.ERROR: 5}


def test_a_day_of_records_with_skewed_clocks_is_forgotten_in_time():
    with FakeClock() as clock:
        counts = LevelCounts()
        for number in range(3000):
            count(counts, clock.time(), logging.INFO)
            count(counts, clock.time() + 3600 * (1 if number % 2 else -1), logging.INFO)
            clock.advance(1)
        assert len(counts.by_second) < 200
        assert counts.total() == 6000


class Overtaken(LevelCounts):
    """Another thread takes a record of the next second right after each look at `latest`."""

    def __init__(self):
        self.next_second = {}
        super().__init__()

    @property
    def latest(self):
        found, self._latest = self._latest, (self._latest[1], self._latest[1] + 1, self.next_second)
        return found

    @latest.setter
    def latest(self, new):
        self._latest = new


def test_a_record_is_not_counted_to_a_second_in_which_another_thread_is_already():
    with FakeClock() as clock:
        counts = Overtaken()
        second = int(clock.time())
        counts.latest = (second, second + 1, {})
        counts.take(clock.time(), logging.INFO)
        assert counts.next_second == {}
        assert counts.total() == 1


def test_levels_without_end_are_counted_as_the_standard_one_below():
    with FakeClock():
        counts = LevelCounts()
        for level in range(1000):
            counts.take(0.0, level)
        found = counts.counts(60)
        assert len(found) <= 16
        assert sum(found.values()) == 1000
        assert sum(n for level, n in found.items() if level >= logging.ERROR) == 960


def test_threads_lose_no_record_and_no_second_is_counted_twice():
    counts = LevelCounts()
    with FakeClock() as clock:

        def work():
            for _ in range(4000):
                count(counts, clock.time(), logging.INFO)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(300):
            clock.advance(1)
        for thread in threads:
            thread.join()
        assert counts.total() == 32_000
