"""The offline analyst's verdicts: which facts carry which cause."""

from __future__ import annotations

from beamlens.evidence import Evidence, Place, Strength
from beamlens.llm.offline import correlating

A = Place(file="/a.py", line=1)
B = Place(file="/b.py", line=2)


def evidence(cause, strength=Strength.CONCLUSIVE, place=A, text="fact"):
    return Evidence(text=text, cause=cause, strength=strength, place=place)


def decide(*alerts):
    facts = {
        "alerts": [
            {"id": str(number), "anomaly_type": f"type{number}", "observation": f"seen {number}", "evidence": pieces}
            for number, pieces in enumerate(alerts)
        ],
        "quiet_sensors": ["runtime.thread_growth"],
    }
    return [arguments for _name, arguments in correlating.decide(facts, ["get_alerts"])]


def test_alerts_of_one_cause_at_one_place_are_one_insight():
    (insight,) = decide((evidence("failing_dependency"),), (evidence("failing_dependency"),))
    assert insight["alert_ids"] == ["0", "1"]
    assert insight["confidence"] == "high"


def test_descriptors_that_grow_with_the_threads_that_hold_them_are_a_symptom():
    (insight,) = decide((evidence("descriptor_leak", place=B),), (evidence("thread_pile_up"),))
    assert (insight["cause_kind"], insight["cause_place"], insight["correlation_type"]) == (
        "thread_pile_up",
        "/a.py:1",
        "causal",
    )
    assert insight["alert_ids"] == ["1", "0"]


def test_two_independent_conclusive_causes_are_two_insights():
    first, second = decide((evidence("memory_leak"),), (evidence("gil_hog", place=B),))
    assert {first["cause_kind"], second["cause_kind"]} == {"memory_leak", "gil_hog"}


def test_supporting_evidence_alone_is_never_high_confidence():
    (insight,) = decide((evidence("memory_leak", Strength.SUPPORTING),))
    assert insight["confidence"] == "medium"
    (insight,) = decide((evidence("memory_leak", Strength.SUPPORTING), evidence("gil_hog", Strength.SUPPORTING, B)))
    assert insight["confidence"] == "low"


def test_a_conclusive_rival_lowers_the_confidence():
    (insight,) = decide((evidence("memory_leak"), evidence("memory_leak", place=B)))
    assert insight["confidence"] == "medium"


def test_a_cause_that_is_also_excluded_is_not_stated_with_high_confidence():
    (insight,) = decide((evidence("gil_hog"),), (evidence("gil_hog", Strength.EXCLUDES, None),))
    assert insight["confidence"] == "medium"


def test_without_any_fact_the_cause_is_not_known_and_quiet_sensors_are_named():
    (insight,) = decide(())
    assert "root_cause_hypothesis" not in insight
    assert "ruled out: runtime.thread_growth is quiet" in insight["summary"]


def test_an_unexplained_alert_beside_one_known_cause_joins_it_and_beside_two_stays_apart():
    (insight,) = decide((evidence("memory_leak"),), ())
    assert insight["alert_ids"] == ["0", "1"]
    assert len(decide((evidence("memory_leak"),), (evidence("gil_hog", place=B),), ())) == 3


def test_when_all_alerts_are_dealt_with_it_is_done():
    assert correlating.decide({"alerts": [], "quiet_sensors": []}, []) == [("done", {})]
