from __future__ import annotations

import os
import threading

import pytest

from beamlens.probes.pressure import RunQueue, run_delays, stolen_seconds


def test_throttling_of_a_control_group_counts_as_stolen(tmp_path):
    before = stolen_seconds([tmp_path])
    (tmp_path / "cpu.stat").write_text("usage_usec 5\nnr_throttled 7\nthrottled_usec 2500000000\n")
    assert stolen_seconds([tmp_path]) - before == pytest.approx(2500.0, abs=100)
    (tmp_path / "cpu.stat").write_text("nr_throttled 7\nthrottled_time 2500000000000\n")
    assert stolen_seconds([tmp_path]) - before == pytest.approx(2500.0, abs=100)


@pytest.mark.parametrize("text", ["", "nonsense", "throttled_usec", "throttled_usec many\n"])
def test_a_file_that_says_something_else_counts_nothing(tmp_path, text):
    before = stolen_seconds([])
    (tmp_path / "cpu.stat").write_text(text)
    assert stolen_seconds([tmp_path]) - before == pytest.approx(0.0, abs=100)


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="Linux")
def test_the_run_queue_is_told_and_never_runs_back():
    queue = RunQueue()
    try:
        first = queue.seconds()
        assert queue.known
        assert queue.seconds() >= first >= 0.0
    finally:
        queue.close()
    assert queue.seconds() == 0.0
    assert threading.get_native_id() in run_delays()


def test_a_descriptor_that_the_host_closed_and_reused_is_left_alone(tmp_path):
    queue = RunQueue()
    number = queue._file
    if number is None:
        pytest.skip("Linux")
    os.close(number)
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        os.dup2(held, number)
        queue.close()
        assert os.fstat(number).st_ino == os.fstat(held).st_ino
    finally:
        os.close(number)
        if held != number:
            os.close(held)


def test_a_system_without_schedstat_tells_nothing(tmp_path):
    assert run_delays(tmp_path) == {}
    (tmp_path / "task" / "12").mkdir(parents=True)
    (tmp_path / "task" / "12" / "schedstat").write_text("0 0 0\n")
    assert run_delays(tmp_path) == {12: 0.0}
