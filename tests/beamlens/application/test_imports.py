"""A fork waits for imports of Beamlens's own threads, and not for ever."""

from __future__ import annotations

import sys
import threading

import pytest

from beamlens.application import imports
from beamlens_actors.backends.threads import spawn

GATE = """
import threading
begun, go_on = threading.Event(), threading.Event()
"""
SLOW = """
import slow_import_gate
slow_import_gate.begun.set()
slow_import_gate.go_on.wait(30)
"""


@pytest.fixture
def gate(tmp_path, monkeypatch):
    (tmp_path / "slow_import_gate.py").write_text(GATE)
    (tmp_path / "slow_import.py").write_text(SLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    import slow_import_gate

    yield slow_import_gate
    slow_import_gate.go_on.set()
    for name in ("slow_import", "slow_import_gate"):
        sys.modules.pop(name, None)


def importing(start, gate):
    thread = start(lambda: __import__("slow_import"))
    assert gate.begun.wait(10)
    return thread


def host_thread(fn):
    thread = threading.Thread(target=fn)
    thread.start()
    return thread


def test_an_import_of_ours_is_waited_for(gate):
    thread = importing(lambda fn: spawn(fn, "beamlens-imports"), gate)
    assert imports.wait_for_own(60, sleep=lambda _seconds: gate.go_on.set())
    thread.join(10)
    assert "slow_import" in sys.modules


def test_one_that_does_not_end_holds_a_fork_up_for_a_bounded_time(gate):
    thread = importing(lambda fn: spawn(fn, "beamlens-imports"), gate)
    assert not imports.wait_for_own(0.0)
    gate.go_on.set()
    thread.join(10)


def test_an_import_of_the_hosts_is_the_hosts_affair(gate):
    thread = importing(host_thread, gate)
    assert imports.wait_for_own(0.0)
    gate.go_on.set()
    thread.join(10)
