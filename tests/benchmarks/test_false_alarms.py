from __future__ import annotations

import json
import random

from beamlens.domains.anomaly.options import Options
from benchmarks.false_alarms.record import parts
from benchmarks.false_alarms.replay import replay
from benchmarks.false_alarms.workloads import NAMES, program


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


def test_every_workload_is_a_program():
    for name in NAMES:
        compile(program(name, 1, 288.0), name, "exec")
