"""The offline analyst's verdicts: which facts carry which cause."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamlens.evidence import CauseKind, Evidence, Place, Strength
from beamlens.llm.offline import correlating
from beamlens.llm.offline.verdicts import Candidate, owns

A = Place(file="/a.py", line=1)
B = Place(file="/b.py", line=2)


def evidence(cause, strength=Strength.CONCLUSIVE, place=A, text="fact"):
    return Evidence(text=text, cause=cause, strength=strength, place=place)


def steps(*alerts, at=0.0, apart=1.0, earlier=(), severity="warning"):
    facts = {
        "alerts": [
            {
                "id": str(number),
                "anomaly_type": f"type{number}",
                "observation": f"seen {number}",
                "evidence": pieces,
                "detected_at": at + number * apart,
                "severity": severity,
            }
            for number, pieces in enumerate(alerts)
        ],
        "quiet_sensors": ["runtime.thread_growth"],
        "earlier": list(earlier),
    }
    return correlating.decide(facts, ["get_alerts"])


def decide(*alerts, **options):
    return [arguments for _name, arguments in steps(*alerts, **options)]


def named(kind, place=A, *, grounded=True, at=0.0, severity="warning"):
    return {
        "insight": "i1",
        "kind": kind,
        "place": place,
        "text": "The cause.",
        "grounded": grounded,
        "at": at,
        "severity": severity,
    }


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


@pytest.mark.parametrize(
    ("kept", "other"),
    [
        ("blocked_loop", "gil_hog"),
        ("gc_pressure", "long_gc"),
        ("queue_overload", "queue_growth"),
        ("thread_lock", "queue_overload"),
        ("repeated_queries", "slow_line"),
        ("a_word_of_a_domain", "gil_hog"),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_one_line_that_two_domains_name_is_one_insight_with_the_other_as_its_consequence(kept, other, swapped):
    pair = [(evidence(kept, text="said exactly."),), (evidence(other, text="said roughly."),)]
    (insight,) = decide(*(pair[::-1] if swapped else pair))
    assert (insight["cause_kind"], sorted(insight["alert_ids"])) == (kept, ["0", "1"])
    assert insight["confidence"] == "high"
    head, _, consequences = insight["summary"].partition(" Consequences: ")
    assert "said exactly." in head
    assert consequences.endswith("said roughly.")
    assert "said roughly" not in insight["root_cause_hypothesis"]


def test_two_lines_of_one_function_are_one_place_for_two_kinds_of_cause_and_two_for_one_kind():
    first, second = (Place(file="/a.py", line=line, function="Loop.spin") for line in (5, 7))
    (insight,) = decide((evidence("gil_hog", place=first),), (evidence("blocked_loop", place=second),))
    assert (insight["cause_kind"], insight["cause_place"]) == ("blocked_loop", "/a.py:7")
    assert len(decide((evidence("memory_leak", place=first),), (evidence("memory_leak", place=second),))) == 2


def test_one_line_at_two_times_far_apart_is_two_insights():
    assert len(decide((evidence("blocked_loop"),), (evidence("gil_hog"),), apart=901.0)) == 2


def test_of_one_place_the_surer_cause_is_kept_even_if_it_says_less():
    (insight,) = decide((evidence("blocked_loop", Strength.SUPPORTING),), (evidence("gil_hog"),))
    assert insight["cause_kind"] == "gil_hog"


def test_an_unsure_cause_beside_two_sure_ones_elsewhere_stays_apart():
    sure = [(evidence("memory_leak"),), (evidence("gil_hog", place=B),)]
    unsure = (evidence("slow_line", Strength.SUPPORTING, Place(file="/c.py", line=3)),)
    assert len(decide(*sure, unsure)) == 3
    assert len(decide(sure[0], unsure)) == 1


KINDS = st.sampled_from([str(kind) for kind in CauseKind] + ["another"])
PLACES = st.sampled_from(
    [None, A, B, Place(file="/a.py", line=9, function="f"), Place(file="/a.py", line=8, function="f")]
)
CAUSES = st.builds(evidence, KINDS, st.sampled_from([Strength.CONCLUSIVE, Strength.SUPPORTING]), PLACES)


@given(st.lists(CAUSES, min_size=1, max_size=8))
@settings(deadline=None)
def test_each_alert_is_in_exactly_one_insight_whatever_explains_what(pieces):
    told = [alert_id for insight in decide(*((piece,) for piece in pieces)) for alert_id in insight["alert_ids"]]
    assert sorted(told) == [str(number) for number in range(len(pieces))]


@given(CAUSES, CAUSES)
def test_of_two_causes_at_most_one_owns_the_other(first, second):
    pair = [Candidate(piece.cause, piece.place, (piece,)) for piece in (first, second)]
    assert not (owns(*pair) and owns(*reversed(pair)))


def test_a_trouble_that_an_insight_has_named_is_no_second_insight():
    ((tool, arguments),) = steps((evidence("gil_hog"),), at=60.0, earlier=[named("blocked_loop")])
    assert (tool, arguments["alert_ids"], arguments["status"]) == ("update_alert_statuses", ["0"], "resolved")
    assert arguments["reason"] == "belongs to insight i1: The cause."
    assert steps((evidence("blocked_loop"),), at=60.0, earlier=[named("blocked_loop")])[0][0] == "update_alert_statuses"


@pytest.mark.parametrize(
    ("alert", "earlier", "options"),
    [
        (evidence("blocked_loop"), named("gil_hog"), {}),  # says more
        (evidence("gil_hog"), named("gil_hog", None), {}),  # knows where
        (evidence("gil_hog"), named("blocked_loop", B), {}),  # is elsewhere
        (evidence("gil_hog"), named("blocked_loop", grounded=False), {}),  # is surer
        (evidence("gil_hog"), named("blocked_loop"), {"severity": "critical"}),  # is worse
        (evidence("gil_hog"), named("blocked_loop"), {"at": 901.0}),  # is later
    ],
)
def test_what_is_new_beside_an_earlier_insight_is_an_insight(alert, earlier, options):
    ((tool, _arguments),) = steps((alert,), earlier=[earlier], **options)
    assert tool == "produce_insight"


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
    assert correlating.decide({"alerts": [], "quiet_sensors": [], "earlier": []}, []) == [("done", {})]
