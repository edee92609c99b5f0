from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from beamlens.evidence import Evidence, Place, Strength
from beamlens.findings import Alert, Cause, Insight, Snapshot

_texts = st.text(max_size=30)
_numbers = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False)
_places = st.none() | st.builds(Place, file=_texts, line=st.integers(1, 10**6), function=_texts)
_evidence = st.builds(Evidence, text=_texts, cause=_texts, strength=st.sampled_from(Strength), place=_places)
_snapshots = st.builds(Snapshot, data=st.dictionaries(_texts, _numbers, max_size=4))


@given(_snapshots, st.lists(_evidence, max_size=3), _texts, st.sampled_from(["info", "warning", "critical"]))
def test_an_alert_survives_its_msgpack_form(snapshot, evidence, text, severity):
    alert = Alert(
        watcher="runtime",
        anomaly_type="x",
        severity=severity,
        context=text,
        observation="o",
        snapshots=(snapshot,),
        evidence=tuple(evidence),
        node="n",
        instance="i",
        trace_id="0" * 32,
    )
    assert Alert.from_msgpack(alert.to_msgpack()) == alert


@given(_places, _texts)
def test_an_insight_survives_its_msgpack_form(place, text):
    insight = Insight(
        alert_ids=("a",),
        correlation_type="causal",
        summary="s",
        cause=Cause(kind="memory_leak", place=place, text=text),
        confidence="high",
        trace_id="0" * 32,
    )
    assert Insight.from_msgpack(insight.to_msgpack()) == insight


def test_times_are_aware_and_in_utc():
    local = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert Snapshot(data={}, captured_at=local).captured_at == datetime(2026, 1, 1, 10, tzinfo=UTC)
    with pytest.raises(ValidationError, match="timezone"):
        Snapshot(data={}, captured_at=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x81\xa1x\x01"])
def test_what_is_no_such_message_is_refused(data):
    with pytest.raises(ValueError, match=r"not msgpack|validation error"):
        Alert.from_msgpack(data)


def test_a_name_that_is_no_utf_8_can_be_sent_on():
    snapshot = Snapshot(data={"name": "\udcff"})
    assert Snapshot.from_msgpack(snapshot.to_msgpack()).data == {"name": "\\udcff"}


def test_an_insight_without_alerts_is_an_answer_but_not_without_words():
    fields = {"alert_ids": (), "correlation_type": "causal", "confidence": "low", "trace_id": "t"}
    assert Insight(summary="all is well", **fields).alert_ids == ()
    with pytest.raises(ValidationError, match="summary"):
        Insight(summary="", **fields)
