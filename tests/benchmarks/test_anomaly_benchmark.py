"""The scoring rules, on a corpus small enough to reckon by hand."""

import json
import math

import pytest

from benchmarks.anomaly import command
from benchmarks.anomaly.corpus import Series, load
from benchmarks.anomaly.scoring import PROFILES, score, sigmoid


@pytest.fixture
def series():
    return Series("a.csv", [60.0 * row for row in range(100)], [0.0] * 100, [(50, 59)])


def scores(*rows):
    return [[1.0 if row in rows else 0.0 for row in range(100)]]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((), 0.0),
        ((50,), 100.0),
        ((50, 55), 100.0),
        ((10,), 0.0),  # in probation: not scored
        ((20, 50), 100 - 5.5),  # far before: in full; 0 to 100 spans a miss and a hit
        ((90, 50), 100 - 5.5),
        ((59,), 50 * (1 + sigmoid(-0.1) / sigmoid(-1.0))),
    ],
)
def test_a_detection_is_worth_what_the_rules_say(series, rows, expected):
    assert score([series], scores(*rows), PROFILES["standard"]).score == pytest.approx(expected, abs=0.01)


def test_never_to_fire_is_the_best_threshold_when_all_is_false(series):
    result = score([series], scores(20, 30), PROFILES["standard"])
    assert (result.score, result.threshold) == (0.0, math.inf)


def test_a_miss_weighs_twice_in_the_profile_against_misses(series):
    two = Series("b.csv", series.times, series.values, [(50, 59), (80, 89)])
    found = score([two], scores(50), PROFILES["low FN"]).score
    assert found == pytest.approx(50.0)


def test_a_folder_is_read_and_reported(tmp_path, capsys):
    (tmp_path / "data" / "x").mkdir(parents=True)
    (tmp_path / "labels").mkdir()
    rows = ["timestamp,value"]
    rows += [
        f"2015-01-01 {minute // 60:02}:{minute % 60:02}:00,{900 if minute == 300 else minute % 7}"
        for minute in range(400)
    ]
    (tmp_path / "data" / "x" / "a.csv").write_text("\n".join(rows))
    window = ["2015-01-01 04:50:00.000000", "2015-01-01 05:30:00.000000"]
    (tmp_path / "labels" / "combined_windows.json").write_text(json.dumps({"x/a.csv": [window], "x/none.csv": []}))
    assert [one.windows for one in load(tmp_path)] == [[(290, 330)]]
    assert command.main(["--nab", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 files, 400 rows, 1 windows")
    assert [line.split()[0] for line in lines[1:]] == ["beamlens", "windowed", "random"]


def test_a_folder_that_is_none_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main(["--nab", str(tmp_path)])
    assert "is no corpus of the benchmark" in capsys.readouterr().err
