from __future__ import annotations

import json
import shutil

import pytest

from benchmarks.actors import command, report
from benchmarks.actors.series import Plan, Results, run
from benchmarks.suite import get_suite
from benchmarks.supervision.measures import MEASURES, SIZES, sizes
from benchmarks.supervision.runtimes import BASELINE, RUNTIMES

SUITE = get_suite("supervision")


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_measure_gives_its_metrics(name: str) -> None:
    if name == "otp" and shutil.which("erlc") is None:
        pytest.skip("engine: erlc is not on the path (Debian: apt-get install erlang-base)")
    peer = RUNTIMES[name].connect()
    try:
        for measure in MEASURES.values():
            if name == BASELINE and measure.name == "dynamic":
                continue
            found = peer.measure(measure.name, 1_000 if measure.alone else 100)
            expected = {metric.key for metric in measure.metrics}
            if measure.alone:
                expected = {key for key in expected if key.endswith("_1000")}
            assert set(found.values) == expected
    finally:
        peer.close()


def test_a_run_has_raw_values_ratios_and_goals_in_its_json() -> None:
    plan = Plan((BASELINE, "beamlens-threads"), ("restart",), ("unpinned",), repeats=2, quick=True, suite="supervision")
    results = run(plan, lambda _line: None)
    found = json.loads(report.as_json(results))
    assert results.missing == {}
    assert {key: len(raw) for key, raw in found["values"]["unpinned"]["beamlens-threads"].items()} == {
        "restart_p50": 2,
        "restart_p99": 2,
    }
    assert set(found["ratios"]["unpinned"]["beamlens-threads"]) == {"restart_p50", "restart_p99"}
    assert [(goal["runtime"], goal["metric"], goal["of"]) for goal in found["goals"]] == [
        ("beamlens-threads", "restart_p50", BASELINE)
    ]


def test_growth_is_how_many_times_longer_ten_times_the_children_take() -> None:
    found = sizes("children", 10_000, lambda size: (size * 1e-6, size * size * 1e-9)).values
    assert found["children_start_growth_10000"] == pytest.approx(10)
    assert found["children_stop_growth_10000"] == pytest.approx(100)
    assert found["children_start_1000"] == pytest.approx(1)
    assert not any(str(SIZES[-1]) in key for key in found)


def test_goals_are_judged_by_medians_of_one_series() -> None:
    results = Results(Plan(tuple(RUNTIMES), series=("pinned",), suite="supervision"))
    results.values["pinned"] = {
        "otp": {"restart_p50": [10.0]},
        "beamlens-greenlets": {"restart_p50": [1.0, 20.0, 90.0], "children_stop_growth_10000": [12.0]},
    }
    judged = [(goal["metric"], goal["came_to"], goal["met"]) for goal in report.goals(results)]
    assert judged == [("restart_p50", 2.0, False), ("children_stop_growth_10000", 12.0, True)]
    assert "goal missed, pinned, beamlens-greenlets: restart after a crash, p50 2x of otp" in report.text(results)


def test_bad_arguments_name_the_choices_of_this_suite(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--only", "tell"], "supervision")
    assert "there is no 'tell'; choose of: restart, restart-logged" in capsys.readouterr().err


def test_all_counts_are_smaller_when_quick() -> None:
    for runtime in RUNTIMES.values():
        for measure in MEASURES.values():
            assert runtime.count(measure, quick=True) < runtime.count(measure, quick=False)
    assert {goal.metric for goal in SUITE.goals} <= set(SUITE.metrics)
