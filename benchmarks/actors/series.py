"""Runs the runtimes in turns, each in a fresh process per repeat, pinned to one CPU and not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.actors.child import Job
from benchmarks.actors.measures import MEASURES, Measure
from benchmarks.actors.runtimes import RUNTIMES
from benchmarks.measure import ROOT
from benchmarks.suite import Suite, get_suite

SERIES = ("pinned", "unpinned")
_MARK = "BEAMLENS_BENCHMARK_JOB"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    runtimes: Sequence[str] = tuple(RUNTIMES)
    measures: Sequence[str] = tuple(MEASURES)
    series: Sequence[str] = SERIES
    repeats: int = 3
    quick: bool = False
    limit: float = 90.0
    """Seconds for one process."""
    suite: str = "actors"

    @property
    def of(self) -> Suite:
        """The suite."""
        return get_suite(self.suite)


@dataclass(slots=True)
class Results:
    """All that was found, by series, runtime and metric; JSON types only."""

    plan: Plan
    values: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, dict[str, str]] = field(default_factory=dict)
    """By runtime and measure: why there is no value, or what must be said beside it."""

    def add(self, series: str, runtime: str, line: dict[str, Any]) -> None:
        """Take over one line of a process."""
        if "version" in line:
            self.versions[runtime] = line["version"]
        elif "missing" in line:
            self.missing[runtime] = line["missing"]
        elif "measure" in line:
            self._add_measure(series, runtime, line)

    def _add_measure(self, series: str, runtime: str, line: dict[str, Any]) -> None:
        remark = line.get("not_offered") or line.get("note") or line.get("failed")
        if remark:
            self.remark(runtime, line["measure"], remark)
        for key, value in line.get("values", {}).items():
            self.values.setdefault(series, {}).setdefault(runtime, {}).setdefault(key, []).append(value)

    def remark(self, runtime: str, measure: str, text: str) -> None:
        """Keep what must be said of a measure."""
        self.remarks.setdefault(runtime, {})[measure] = text


def run(plan: Plan, progress: Callable[[str], None]) -> Results:
    """Measure all of the plan; `progress` hears what comes next."""
    results = Results(plan)
    for series in plan.series:
        for repeat in range(plan.repeats):
            for name in plan.runtimes:
                for measures in _processes(plan, first=repeat == 0 and series == plan.series[0]):
                    if name in results.missing:
                        break
                    progress(f"{series}, repeat {repeat + 1} of {plan.repeats}: {name}")
                    _run_one(results, series, name, measures)
    return results


def _processes(plan: Plan, *, first: bool) -> list[list[Measure]]:
    """The measures that share a process, and those that need one of their own."""
    known = plan.of.measures
    chosen = [known[name] for name in plan.measures if first or not known[name].once]
    shared = [measure for measure in chosen if not measure.alone]
    return [group for group in (shared, *([measure] for measure in chosen if measure.alone)) if group]


def _run_one(results: Results, series: str, name: str, measures: list[Measure]) -> None:
    plan = results.plan
    counts = {measure.name: plan.of.runtimes[name].count(measure, quick=plan.quick) for measure in measures}
    with tempfile.TemporaryDirectory(prefix="beamlens-bench-") as directory:
        output = Path(directory) / "lines"
        output.touch()
        job = Job(plan.suite, name, counts, series == "pinned", str(output))
        problem = _process(job, Path(directory) / "errors", plan.limit)
        lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        results.add(series, name, line)
    seen = {line.get("measure") for line in lines}
    unseen = [measure.name for measure in measures if measure.name not in seen]
    if problem and unseen and name not in results.missing:
        results.remark(name, unseen[0], f"{problem}, {series}; what came after it was not measured")


def _process(job: Job, errors: Path, limit: float) -> str:
    """Run one process to its end; what went wrong, or nothing."""
    with errors.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.actors.child", job.as_json()],
            cwd=ROOT,
            env={**os.environ, _MARK: job.output},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            _end_all_of(job.output)
            process.wait(10)
            return f"did not end within {limit:g} s"
    if code:
        _end_all_of(job.output)
        last = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        return f"the process failed with {code} ({' '.join(last)[:200]})"
    return ""


def _end_all_of(job: str) -> None:
    """Kill what a process left, detached or not: they carry its mark in their environment."""
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(_MARK) == job:
                process.kill()
        except psutil.Error:
            continue
