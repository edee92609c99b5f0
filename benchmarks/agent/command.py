"""`python -m benchmarks agent`: each measure in processes of its own, beside pydantic-ai where it is installed."""

from __future__ import annotations

import importlib
import json
import statistics
from collections.abc import Sequence

from benchmarks.agent import pydantic_ai_side
from benchmarks.agent.measures import MEASURES, Metric, Side, Sizes, Values
from benchmarks.measure import in_turns, spread

OWN = "beamlens"
_CODE = "from benchmarks.agent.command import child; child({measure!r}, {side!r})"


def get_side(name: str) -> Side:
    """Who measures; imported when it is needed, so that nobody's imports burden another's process."""
    if name == OWN:
        own: Side = importlib.import_module("benchmarks.agent.beamlens_side").SIDE
        return own
    if name in pydantic_ai_side.SIDES:
        return pydantic_ai_side.SIDES[name]
    keeper: Side = importlib.import_module("benchmarks.agent.journal").SIDES[name]
    return keeper


def child(measure: str, side: str) -> None:
    """In a process of its own: measure, print one JSON object."""
    print(json.dumps(get_side(side)[measure](Sizes())))


def run(rounds: int) -> None:
    """Measure and print."""
    reason = pydantic_ai_side.missing()
    if reason:
        print(f"agent: pydantic-ai is left out: {reason} (pip install -e '.[bench]')")
    else:
        print(f"agent: beside pydantic-ai-slim {pydantic_ai_side.version()}, its FunctionModel with the same script")
    peers = {**({} if reason else pydantic_ai_side.SIDES), **importlib.import_module("benchmarks.agent.journal").SIDES}
    print(f"agent, scripted models, {rounds} processes each; median (least to most):")
    for measure, metrics in MEASURES.items():
        sides = [OWN, *(name for name, side in peers.items() if measure in side)]
        variants = {name: _CODE.format(measure=measure, side=name) for name in sides}
        found = in_turns(variants, rounds)
        for line in table(metrics, found):
            print(line)


def table(metrics: Sequence[Metric], found: dict[str, list[Values]]) -> list[str]:
    """Lines: each metric, and below it who had which values."""
    lines = []
    for metric in metrics:
        lines.append(f"  {metric.label}; {metric.unit}{_goal(metric, found)}")
        own = statistics.median(row[metric.key] for row in found[OWN])
        for name, rows in found.items():
            if metric.key not in rows[0]:
                continue
            values = [row[metric.key] for row in rows]
            beside = "" if name == OWN or not own else f"x{statistics.median(values) / own:.2f}"
            lines.append(f"    {name:22} {spread(values):32} {beside}".rstrip())
    return lines


def _goal(metric: Metric, found: dict[str, list[Values]]) -> str:
    if metric.goal is None:
        return ""
    kept = statistics.median(row[metric.key] for row in found[OWN]) < metric.goal
    return f" (goal: under {metric.goal:g}, {'kept' if kept else 'missed'})"
