"""Correlated alerts, with their cause where it is known."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from beamlens.evidence import Place
from beamlens.findings.wire import AwareTime, Wire, new_id, utc_now

Correlation = Literal["temporal", "causal", "symptomatic"]
Confidence = Literal["high", "medium", "low"]


class Cause(BaseModel):
    """A named cause.

    Attributes:
        kind: A ``CauseKind`` value or a word of the domain's own.
        place: Where in the code, if it is known.
        text: The cause in a sentence.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    place: Place | None = None
    text: str


class Insight(Wire):
    """What a set of alerts means.

    Attributes:
        id: 16 hex digits.
        alert_ids: The alerts that it explains; none where a question was answered from what operators saw.
        correlation_type: ``temporal`` (near in time), ``causal`` (one caused another), ``symptomatic`` (a common
            cause).
        summary: What happened, in a sentence or two.
        matched_observations: The facts that it rests on.
        hypothesis_grounded: Whether the cause is carried by facts and not by hypotheses alone.
        root_cause_hypothesis: The cause in words; ``None``: not known.
        cause: The cause as kind and place, where it was named.
        ruled_out: Causes that the facts speak against.
        confidence: ``high``, ``medium`` or ``low``.
        created_at: When, UTC.
        trace_id: The run that produced it, 32 hex digits.
        model: Who wrote it; ``"offline"`` for the offline analyst.
    """

    id: str = Field(default_factory=new_id)
    alert_ids: tuple[str, ...]
    correlation_type: Correlation
    summary: Annotated[str, Field(min_length=1)]
    matched_observations: tuple[str, ...] = ()
    hypothesis_grounded: bool = False
    root_cause_hypothesis: str | None = None
    cause: Cause | None = None
    ruled_out: tuple[str, ...] = ()
    confidence: Confidence
    created_at: AwareTime = Field(default_factory=utc_now)
    trace_id: str
    model: str = ""
