from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from beamlens.domains import built_in_names
from beamlens.domains.anomaly.options import Options
from benchmarks.false_alarms.record import load, load_told, parts
from benchmarks.false_alarms.replay import replay
from benchmarks.false_alarms.workloads import NAMES


def recorded(path, count, level):
    chance = random.Random(1)
    rows = [{"requests": {"p95_ms": level(number) * chance.lognormvariate(0, 0.1)}} for number in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_replay_counts_alarms_and_the_days_that_were_judged(tmp_path):
    recorded(tmp_path / "deploys.0.jsonl", 1000, lambda _number: 40)
    recorded(tmp_path / "deploys.1.jsonl", 1000, lambda number: 40 if number < 800 else 900)
    found = replay(parts(tmp_path, "deploys"), Options())
    assert (found.metrics, len(found.alarms), found.noticed, found.tried) == (1, 1, 1, 1)
    assert found.alarms[0].startswith("requests.p95_ms rose from ")
    assert round(found.days * 2880) == 1760
    assert replay(parts(tmp_path, "deploys")[:1], Options()).alarms == []


@pytest.mark.parametrize("name", NAMES)
def test_every_workload_is_recorded_with_all_domains_and_leaves_nothing_behind(tmp_path, name):
    path = tmp_path / "x.0.jsonl"
    command = [sys.executable, "-m", "benchmarks.false_alarms.watched", name, str(path), "1", "3", "24"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    rows = load(path)
    assert set(rows[-1]) == set(built_in_names()) - {"anomaly"}
    assert load_told(path) == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x.0.alerts", "x.0.jsonl"]
