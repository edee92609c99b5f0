"""How often tables are sampled, and how often new ones are looked for."""

from __future__ import annotations

import threading

from beamlens.domains.ets import recorder as recorder_module
from beamlens.domains.ets.recorder import TableRecorder
from beamlens.domains.ets.store import GrowthStore
from beamlens_actors.testing import FakeClock


class Recorder(TableRecorder):
    """Tells of each sample."""

    def __init__(self):
        super().__init__()
        self.sampled = threading.Semaphore(0)

    def sample(self, oldest=0.0):
        found = super().sample(oldest)
        self.sampled.release()
        return found


def minutes(monkeypatch, cpu):
    """In which minutes new tables were looked for, when the process has burned `cpu` seconds by each."""
    surveys, now = [], [0]
    monkeypatch.setattr(recorder_module, "survey", lambda: (surveys.append(now[0]), ([], True))[1])
    recorder = Recorder()
    with FakeClock() as clock:
        store = GrowthStore.start(recorder, process_cpu=lambda: cpu[now[0]])
        clock.wait_for_waiters(1)
        clock.advance(0.5)
        for minute in range(len(cpu)):
            assert recorder.sampled.acquire(timeout=10)
            now[0] = min(minute + 1, len(cpu) - 1)
            clock.wait_for_waiters(1)
            clock.advance(60.0)
        store.stop()
    return surveys, len(recorder.history.samples(3600.0))


def test_a_process_that_works_is_searched_for_new_tables_each_minute(monkeypatch):
    assert minutes(monkeypatch, [10.0 + 5.0 * minute for minute in range(6)])[0][:6] == [0, 1, 2, 3, 4, 5]


def test_a_process_that_rests_is_searched_every_ten_minutes_and_sampled_each_minute(monkeypatch):
    surveys, samples = minutes(monkeypatch, [10.0 + 0.01 * minute for minute in range(21)])
    assert surveys == [0, 10, 20]
    assert samples >= 21


def test_work_after_a_rest_is_noticed_in_a_minute(monkeypatch):
    surveys, _samples = minutes(monkeypatch, [10.0, 10.1, 10.2, 12.0, 12.1])
    assert surveys == [0, 3]
