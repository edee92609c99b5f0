"""A question without a model: who is to look, and the answer from what they found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from beamlens.llm.offline.correlating import causes
from beamlens.llm.offline.relevance import choose

Step = tuple[str, Mapping[str, Any]]

_MOST_TEXT = 3500


class Found(Protocol):
    """What an operator ended with, as far as it is read here."""

    name: str
    stopped_by: str

    @property
    def failed(self) -> bool:
        """Whether it broke off."""
        ...


def classify(facts: Mapping[str, Any], succeeded: Sequence[str]) -> list[Step]:  # noqa: ARG001 - a rule's signature
    """Choose operators by the words of the question."""
    question = facts["question"]
    chosen = choose(question, facts["operators"])
    return [
        (
            "classify",
            {"intent": "investigation", "operators": chosen, "operator_context": question.strip()[:_MOST_TEXT] or "?"},
        )
    ]


def synthesize(facts: Mapping[str, Any], succeeded: Sequence[str]) -> list[Step]:  # noqa: ARG001
    """Say what was found: causes that facts carry first, then what was seen, then who saw nothing."""
    told = []
    for text, place, alerts in causes(facts["alerts"]):
        seen = " ".join(alert["observation"] for alert in alerts)
        told.append(f"{text}{place}." if text else f"Seen, without a known cause: {seen}")
    results: Sequence[Found] = facts["results"]
    troubled = {alert["watcher"] for alert in facts["alerts"]}
    quiet = [result.name for result in results if not result.failed and result.name not in troubled]
    broken = [f"{result.name} ({result.stopped_by})" for result in results if result.failed]
    if quiet:
        told.append(f"Nothing out of bounds was found by: {', '.join(quiet)}.")
    if broken:
        told.append(f"Broke off, so they say nothing: {', '.join(broken)}.")
    if not told:
        told.append("No operator could look, so nothing is known.")
    return [("answer", {"answer": " ".join(told)[:_MOST_TEXT]})]
