"""The table for people, and the JSON for machines."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import psutil

from benchmarks.actors.measures import Metric
from benchmarks.actors.series import Results

_UNSTEADY = 1.5


def ratio(metric: Metric, value: float, baseline: float) -> float | None:
    """How many times better than the baseline; `None` where dividing says nothing."""
    if not metric.compared or value <= 0 or baseline <= 0:
        return None
    return value / baseline if metric.more_is_better else baseline / value


def ratios(results: Results, series: str) -> dict[str, dict[str, float]]:
    """By runtime and metric, of the medians; of what can be compared only."""
    suite, found = results.plan.of, results.values.get(series, {})
    baseline = found.get(suite.baseline, {})
    compared: dict[str, dict[str, float]] = {}
    for runtime, values in found.items():
        for key, raw in values.items():
            if runtime != suite.baseline and key in baseline:
                times = ratio(suite.metrics[key], statistics.median(raw), statistics.median(baseline[key]))
                if times is not None:
                    compared.setdefault(runtime, {})[key] = times
    return compared


def text(results: Results) -> str:
    """Everything, as text."""
    parts = [f"{series}\n\n{_table(results, series)}" for series in results.plan.series]
    parts.append("\n".join(_remarks(results)))
    return "\n\n".join(part for part in parts if part)


def _table(results: Results, series: str) -> str:
    found = results.values.get(series, {})
    compared = ratios(results, series)
    columns = [name for name in results.plan.runtimes if name in found]
    rows = [["", "", *columns]]
    for metric in results.plan.of.metrics.values():
        cells = [_cell(found[name].get(metric.key, []), compared.get(name, {}).get(metric.key)) for name in columns]
        if any(cells):
            rows.append([metric.title, metric.unit, *(cell or "-" for cell in cells)])
    return _aligned(rows)


def _cell(raw: Sequence[float], times: float | None) -> str:
    if not raw:
        return ""
    middle = statistics.median(raw)
    unsteady = "~" if min(raw) > 0 and max(raw) / min(raw) > _UNSTEADY else ""
    return f"{unsteady}{_number(middle)}" + ("" if times is None else f" ({_number(times)}x)")


def _number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = (
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join((first, *others)).rstrip())
    return "\n".join(lines)


def _remarks(results: Results) -> Iterable[str]:
    plan, baseline = results.plan, results.plan.of.baseline
    yield f"Medians of {plan.repeats}; ~ marks values of which the most is over {_UNSTEADY} times the least."
    if baseline in results.versions:
        yield f"In brackets: how many times better than {baseline}, in the same series (above 1 is better)."
    else:
        yield f"No ratios: {baseline} was not measured."
    for judged in goals(results):
        yield _goal(results, judged)
    for runtime, reason in results.missing.items():
        yield f"{runtime} is left out: {reason}"
    for runtime, remarks in results.remarks.items():
        by_text: dict[str, list[str]] = {}
        for measure, remark in remarks.items():
            by_text.setdefault(remark, []).append(measure)
        for remark, measures in by_text.items():
            yield f"{runtime}, {', '.join(measures)}: {remark}"


def goals(results: Results) -> list[dict[str, Any]]:
    """Each goal that was measured, by series: its medians, what it came to and whether that is enough."""
    judged = []
    for series, found in results.values.items():
        for goal in results.plan.of.goals:
            raw = found.get(goal.runtime, {}).get(goal.metric)
            other = found.get(goal.of, {}).get(goal.metric) if goal.of else [1.0]
            if raw and other:
                came_to = statistics.median(raw) / statistics.median(other)
                judged.append({"series": series, **asdict(goal), "came_to": came_to, "met": came_to <= goal.at_most})
    return judged


def _goal(results: Results, judged: dict[str, Any]) -> str:
    title, other = results.plan.of.metrics[judged["metric"]].title, judged["of"]
    measured = f"{_number(judged['came_to'])}x" + (f" of {other}" if other else "")
    verdict = "met" if judged["met"] else "missed"
    return (
        f"goal {verdict}, {judged['series']}, {judged['runtime']}: {title} {measured}, at most {judged['at_most']:g}x"
    )


def machine() -> dict[str, Any]:
    """Facts on which the numbers depend."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_1min": os.getloadavg()[0],
    }


def as_json(results: Results) -> str:
    """Every raw value, with the machine and the versions."""
    return json.dumps(
        {
            "machine": machine(),
            "versions": results.versions,
            "plan": asdict(results.plan),
            "metrics": {key: asdict(metric) for key, metric in results.plan.of.metrics.items()},
            "values": results.values,
            "ratios": {series: ratios(results, series) for series in results.plan.series},
            "goals": goals(results),
            "missing": results.missing,
            "remarks": results.remarks,
        },
        indent=2,
    )
