from __future__ import annotations

import importlib.util
import json
import sys

import pytest

from benchmarks import __main__ as program
from benchmarks.agent import command, journal, pydantic_ai_side
from benchmarks.agent.beamlens_side import SIDE
from benchmarks.agent.measures import MEASURES, QUICK, Metric, must


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_gives_its_metrics(measure):
    found = SIDE[measure](QUICK)
    assert set(found) == {metric.key for metric in MEASURES[measure]}
    assert all(isinstance(value, float) for value in found.values())


@pytest.mark.parametrize("name", pydantic_ai_side.SIDES)
def test_the_peer_measures_a_part_of_the_same(name):
    if reason := pydantic_ai_side.missing():
        pytest.skip(reason)  # a peer, which the tests do not need
    for measure, function in pydantic_ai_side.SIDES[name].items():
        assert set(function(QUICK)) <= {metric.key for metric in MEASURES[measure]}


@pytest.mark.parametrize("name", journal.SIDES)
def test_what_else_keeps_messages_measures_a_part_of_the_same(name):
    found = journal.SIDES[name]["journal"](QUICK)
    assert set(found) < {metric.key for metric in MEASURES["journal"]}
    assert command.get_side(name) is journal.SIDES[name]


def test_metrics_have_keys_and_units_of_their_own():
    metrics = [metric for row in MEASURES.values() for metric in row]
    assert len({metric.key for metric in metrics}) == len({metric.label for metric in metrics}) == len(metrics)
    assert {metric.unit for metric in metrics} <= {"us", "ms", "k/s", "events"}


@pytest.mark.parametrize("reason", ["", "pydantic-ai-slim is not installed"])
def test_a_peer_is_left_out_with_its_reason(reason, monkeypatch, capsys):
    asked = []

    def in_turns(variants, rounds):
        asked.append((set(variants), rounds))
        measure = next(name for name in MEASURES if repr(name) in next(iter(variants.values())))
        return {name: [{metric.key: 1.0 for metric in MEASURES[measure]}] * rounds for name in variants}

    monkeypatch.setattr(command, "in_turns", in_turns)
    monkeypatch.setattr(pydantic_ai_side, "missing", lambda: reason)
    monkeypatch.setattr(pydantic_ai_side, "version", lambda: "1")
    command.run(2)
    said = capsys.readouterr().out
    assert len(asked) == len(MEASURES)
    assert {rounds for _, rounds in asked} == {2}
    assert asked[0][0] == ({command.OWN} if reason else {command.OWN, *pydantic_ai_side.SIDES})
    assert asked[-1][0] == {command.OWN, *journal.SIDES}
    assert (f"left out: {reason}" in said) is bool(reason)
    assert all(metric.label in said for row in MEASURES.values() for metric in row)


def test_a_peer_that_cannot_be_imported_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    assert "it cannot be imported: ModuleNotFoundError" in pydantic_ai_side.missing()


def test_a_table_has_ratios_and_whether_the_goal_was_kept():
    metrics = (Metric("a", "one", "us", goal=300.0), Metric("b", "other", "ms"))
    lines = command.table(metrics, {command.OWN: [{"a": 200.0, "b": 1.0}], "peer": [{"a": 300.0}]})
    assert lines[0] == "  one; us (goal: under 300, kept)"
    assert lines[2].endswith("x1.50")
    assert len(lines) == 5
    missed = command.table(metrics[:1], {command.OWN: [{"a": 300.0}]})
    assert missed[0].endswith("missed)")


def test_a_measure_that_measures_something_else_says_so():
    with pytest.raises(RuntimeError, match="turns"):
        must(False, "turns")


def test_a_process_prints_one_object(monkeypatch, capsys):
    monkeypatch.setattr(command, "Sizes", lambda: QUICK)
    command.child("facts", command.OWN)
    assert set(json.loads(capsys.readouterr().out)) == {metric.key for metric in MEASURES["facts"]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["agents"], "there is no suite 'agents'; the suites are: overhead"),
        (["agent", "--rounds", "0"], "--rounds must be at least 1"),
        (["agent", "--rounds", "few"], "invalid int value: 'few'"),
    ],
)
def test_bad_arguments_name_what_is_wrong(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
