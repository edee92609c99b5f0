from __future__ import annotations

import json

import pytest

from benchmarks.actors import command, report
from benchmarks.actors.measures import MEASURES, METRICS, MissingError
from benchmarks.actors.runtimes import RUNTIMES, Runtime
from benchmarks.actors.series import Plan, Results, run


def quiet(_line: str) -> None:
    pass


@pytest.mark.parametrize("name", ["pykka", "beamlens-threads"])
def test_every_measure_of_both_gives_all_its_metrics_through_the_same_code(name):
    peer = RUNTIMES[name].connect()
    for measure in MEASURES.values():
        found = peer.measure(measure.name, 32)
        assert set(found.values) == {metric.key for metric in measure.metrics}
    peer.close()


def test_a_run_has_every_raw_value_in_its_json_and_a_ratio_to_the_baseline():
    plan = Plan(("pykka", "beamlens-threads"), ("tell", "restart"), ("unpinned",), repeats=2, quick=True)
    results = run(plan, quiet)
    found = json.loads(report.as_json(results))
    assert results.missing == {}
    assert set(found["versions"]) == {"pykka", "beamlens-threads"}
    for runtime in plan.runtimes:
        assert {key: len(raw) for key, raw in found["values"]["unpinned"][runtime].items()} == {
            "tell": 2,
            "restart_p50": 2,
            "restart_p99": 2,
        }
    assert set(found["ratios"]["unpinned"]["beamlens-threads"]) == {"tell", "restart_p50", "restart_p99"}
    assert {"python", "cpus", "machine"} <= set(found["machine"])


def test_a_ratio_above_one_is_better_whatever_the_unit():
    results = Results(Plan(("pykka", "beamlens-threads"), series=("pinned",)))
    results.values["pinned"] = {
        "pykka": {"tell": [10.0, 20.0, 90.0], "ask_p50": [30.0], "live": [1.0]},
        "beamlens-threads": {"tell": [40.0], "ask_p50": [15.0], "live": [9.0]},
    }
    assert report.ratios(results, "pinned") == {"beamlens-threads": {"tell": 2.0, "ask_p50": 2.0}}
    assert "40 (2x)" in report.text(results)


def test_a_runtime_that_is_missing_is_named_with_its_reason():
    results = Results(Plan(("pykka",), series=("pinned",)))
    results.add("pinned", "erlang", {"missing": "erl is not on the path"})
    assert "erlang is left out: erl is not on the path" in report.text(results)


def test_an_unknown_backend_is_missing_and_no_error():
    with pytest.raises(MissingError, match="fibres"):
        Runtime("beamlens-fibres", "beamlens_peer", "fibres").connect()


def test_a_peer_that_hangs_is_ended_and_said_so():
    plan = Plan(("pykka",), ("tell",), ("unpinned",), repeats=1, limit=0.01)
    results = run(plan, quiet)
    assert "did not end within 0.01 s" in results.remarks["pykka"]["tell"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "tel"], "there is no 'tel'; choose of: tell, tell-between"),
        (["--runtimes", "ray"], "there is no 'ray'; choose of: pykka, bare-threads"),
        (["--series", "x"], "choose of: pinned, unpinned"),
        (["--plot", "a.png", "--runtimes", "erlang"], "--plot draws ratios to pykka"),
        (["--repeats", "0"], "--repeats must be at least 1"),
        (["--json", "/no/such/place/a.json"], "there is no directory '/no/such/place'"),
    ],
)
def test_bad_arguments_name_the_choices(arguments, said, capsys):
    if "--plot" in arguments:
        pytest.importorskip("matplotlib")
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_quick_counts_are_smaller_and_every_metric_has_one_measure():
    for runtime in RUNTIMES.values():
        for measure in MEASURES.values():
            assert 20 <= runtime.count(measure, quick=True) <= max(20, runtime.count(measure, quick=False))
    assert len(METRICS) == sum(len(measure.metrics) for measure in MEASURES.values())
