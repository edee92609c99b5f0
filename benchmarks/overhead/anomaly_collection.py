"""What the `anomaly` domain costs: a collection beside the snapshots that it reads, its memory, its file."""

from __future__ import annotations

from benchmarks.measure import in_turns, spread

_BODY = """
import json, time, tracemalloc
from beamlens.domains import RuntimeDomain, LoggerDomain, ExceptionDomain
from beamlens.domains.anomaly.detector import Detector
from beamlens.domains.anomaly.options import Options
domains = {domain.name: domain for domain in (RuntimeDomain(), LoggerDomain(), ExceptionDomain())}
declared = {name: domain.metrics for name, domain in domains.items()}
for domain in domains.values():
    domain.snapshot()
began = time.perf_counter()
for _ in range(300):
    values = {name: domain.snapshot() for name, domain in domains.items()}
read = (time.perf_counter() - began) / 300
detector, judged = Detector(Options(learning_duration_ms=0, warm_up_ms=0)), 0.0
tracemalloc.start()
for number in range(300):
    # Every number moves, as they do in a busy process.
    row = {name: {key: value * (1 + number % 7 / 10) if isinstance(value, float) else value
                  for key, value in found.items()} for name, found in values.items()}
    if number == 299:
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    detector.take(1.7e9 + 30 * number, row, declared)
began = time.perf_counter()
for number in range(300, 600):
    detector.take(1.7e9 + 30 * number, values, declared)
judged = (time.perf_counter() - began) / 300
states = [len(json.dumps(series.state())) for series in detector.series()]
for domain in domains.values():
    domain.close()
print(json.dumps({"metrics": len(states), "read_us": read * 1e6, "judge_us": judged * 1e6,
                  "kb": held / 1e3 / len(states), "file_kb": sum(states) / 1e3 / len(states)}))
"""


def run(rounds: int) -> None:
    """Measure and print."""
    rows = in_turns({"collection": _BODY}, rounds)["collection"]
    metrics = rows[0]["metrics"]
    read, judged = ([row[name] for row in rows] for name in ("read_us", "judge_us"))
    ratios = [row["judge_us"] / row["read_us"] for row in rows]
    print(f"a collection of the anomaly domain, {metrics} metrics of three domains, every 30 s:")
    print(f"  reading the snapshots us {spread(read)}; judging them us {spread(judged)}; ratio {spread(ratios)}")
    each = {name: spread([row[name] for row in rows]) for name in ("kb", "file_kb")}
    print(f"  a metric: {each['kb']} KB of memory, {each['file_kb']} KB in the file")
