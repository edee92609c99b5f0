from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from beamlens.domains.anomaly.detector import Detector
from beamlens.domains.anomaly.state_file import StateFile
from tests.beamlens.domains.anomaly.samples import LATENCY, Feeding, noisy


@pytest.fixture
def learned():
    feeding = Feeding(LATENCY)
    feeding.learn(latency_ms=noisy(20), depth=noisy(5))
    return feeding.detector


@pytest.fixture
def told():
    return []


@pytest.fixture
def emit(told):
    return lambda name, **metadata: told.append((name, metadata))


@pytest.fixture
def file(tmp_path):
    made = StateFile(tmp_path / "state", "shop/1")
    yield made
    made.close()


def states(detector):
    return json.loads(json.dumps([series.state() for series in detector.series()]))


def test_what_was_saved_is_loaded(file, learned, emit, told):
    assert file.save(learned, emit) is True
    other = Detector(learned.options)
    file.load(other, emit)
    assert states(other) == states(learned)
    assert (other.state, other.learned, told) == ("active", learned.learned, [])
    assert file.path.name == "anomaly-shop%2F1.jsonl"
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_nothing_saved_is_a_fresh_start_without_a_word(file, emit, told):
    detector = Detector(Feeding().detector.options)
    file.load(detector, emit)
    assert (detector.state, told) == ("learning", [])


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff", b"{}", b"[]", b"null\n", b'{"format": 1}\n', b'{"format": 1, "count": 1}\nnull\n', b"[" * 9000],
)
def test_what_cannot_be_read_is_put_aside_told_and_begun_anew(file, learned, emit, told, content):
    file.path.parent.mkdir()
    file.path.write_bytes(content)
    detector = Detector(learned.options)
    file.load(detector, emit)
    assert (detector.state, detector.series()) == ("learning", [])
    ((name, metadata),) = told
    assert name == "anomaly.baseline_store.unusable"
    assert "cannot be read" in metadata["reason"]
    assert file.path.with_suffix(".unreadable").read_bytes() == content
    assert file.save(learned, emit) is True


def test_a_file_cut_off_anywhere_is_a_fresh_start_and_never_half_of_it(file, learned, emit, told):
    file.save(learned, emit)
    whole = file.path.read_bytes()
    for length in range(1, len(whole) - 1, max(1, len(whole) // 50)):
        file.path.write_bytes(whole[:length])
        detector = Detector(learned.options)
        file.load(detector, emit)
        assert detector.series() == []


def test_a_newer_format_is_refused_by_name_and_left_as_it_is(file, learned, emit, told):
    file.path.parent.mkdir()
    file.path.write_text('{"format": 2, "count": 0}\n')
    file.load(learned, emit)
    assert file.save(learned, emit) is False
    assert file.path.read_text() == '{"format": 2, "count": 0}\n'
    assert [metadata["reason"] for _name, metadata in told] == ["it has format 2, and this Beamlens knows up to 1"]


def test_a_folder_that_cannot_be_used_is_told_once(tmp_path, learned, emit, told):
    (tmp_path / "state").write_text("a file")
    file = StateFile(tmp_path / "state", "shop")
    assert [file.save(learned, emit) for _ in range(3)] == [False, False, False]
    assert len(told) == 1


def test_nothing_is_left_of_a_save_that_was_broken_off(file, learned, emit, monkeypatch):
    file.save(learned, emit)
    before = file.path.read_bytes()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert file.save(learned, emit) is False
    assert file.path.read_bytes() == before


_HOLDER = """
import sys
from pathlib import Path
from beamlens.domains.anomaly.state_file import StateFile
from tests.beamlens.domains.anomaly.samples import Feeding
feeding = Feeding()
feeding.learn(from_the_holder=3)
file = StateFile(Path(sys.argv[1]), "shop")
print(file.save(feeding.detector, lambda *a, **k: print(a, k)), flush=True)
sys.stdin.read()
"""


def test_of_several_processes_one_writes_and_another_takes_over_after_its_end(tmp_path, learned, emit, told):
    file = StateFile(tmp_path, "shop")
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "True\n"
        beside = Detector(learned.options)
        file.load(beside, emit)
        assert [series.metric.name for series in beside.series()] == ["from_the_holder"]
        assert file.save(learned, emit) is False
        holder.kill()
    assert file.save(learned, emit) is True
    assert told == []
    file.close()
