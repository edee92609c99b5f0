from __future__ import annotations

import gc
import os
from collections import deque

import pytest

from beamlens.probes import gc_pauses
from beamlens.probes.gc_pauses import GcPauses


@pytest.fixture
def pauses():
    found = GcPauses()
    yield found
    while found.installed:
        found.stop()


def test_a_long_one_is_kept(pauses, monkeypatch):
    monkeypatch.setattr(gc_pauses, "LONG", 0.0)
    pauses.start()
    gc.collect()
    found = [pause for pause in pauses.recent(3600) if pause.generation == 2]
    assert found
    assert found[-1].seconds > 0


def test_a_short_one_is_not_kept(pauses, monkeypatch):
    monkeypatch.setattr(gc_pauses, "LONG", 3600.0)
    pauses.start()
    gc.collect()
    assert pauses.recent(3600) == []


def test_there_is_one_tap_however_many_use_it(pauses):
    before = list(gc.callbacks)
    pauses.start()
    pauses.start()
    assert len(gc.callbacks) == len(before) + 2
    pauses.stop()
    assert pauses.installed
    pauses.stop()
    pauses.stop()
    assert gc.callbacks == before


def test_two_that_read_every_collection_share_the_tap_and_each_gets_all(pauses):
    before = list(gc.callbacks)
    first, second = deque(), deque()
    pauses.start(first)
    pauses.start(first)
    pauses.start(second)
    assert len(gc.callbacks) == len(before) + 2
    gc.collect()
    assert pauses.drain() >= 1
    assert list(first) == list(second) != []
    gc.collect()
    pauses.stop(first)
    assert [one.generation for one in first][-1] == 2
    kept = len(first)
    gc.collect()
    pauses.stop(second)
    assert len(second) > len(first) == kept
    assert gc.callbacks == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_no_callback():
    gc_pauses.pauses.start()
    try:
        pid = os.fork()
        if pid == 0:
            os._exit(1 if gc_pauses.pauses.installed else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert gc_pauses.pauses.installed
    finally:
        gc_pauses.pauses.stop()
