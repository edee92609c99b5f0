"""The Coordinator's run without a model: group alerts by cause, name it only where the facts carry it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from beamlens.evidence import Evidence, Place, Strength
from beamlens.llm.offline.relevance import choose
from beamlens.llm.offline.verdicts import Candidate, candidates, excluded, explains, owns, same_cause

Step = tuple[str, Mapping[str, Any]]
Confidence = Literal["high", "medium", "low"]

_MOST_TEXT = 3500
_WAIT_MS = 60_000
_RANK = {"info": 0, "warning": 1, "critical": 2}
_NEAR = 900.0
"""Seconds within which alerts belong together, if their causes do: as long as a watcher does not tell one again."""


@dataclass(slots=True)
class _Group:
    alerts: list[Mapping[str, Any]]
    cause: Candidate | None
    rivals: list[Candidate] = field(default_factory=list)
    consequences: list[Candidate] = field(default_factory=list)

    @property
    def evidence(self) -> list[Evidence]:
        return [piece for alert in self.alerts for piece in alert["evidence"]]


def decide(facts: Mapping[str, Any], succeeded: Sequence[str]) -> list[Step]:
    """The next tool calls of this run.

    Args:
        facts: ``alerts`` (unresolved, each with its ``evidence``), ``quiet_sensors``, and the ``earlier`` insights that
            named a cause: ``insight`` (its id), ``kind``, ``place``, ``text`` and ``grounded`` of the cause, ``at``
            (when its alerts began, seconds since the epoch) and ``severity`` (of the worst of them); where somebody
            asked also ``asked``, ``question``, ``operators`` (name to what it watches) and ``at_work`` (names).
        succeeded: The tools that succeeded in this run so far.
    """
    alerts: Sequence[Mapping[str, Any]] = facts["alerts"]
    if facts.get("asked") and facts["operators"] and "invoke_operators" not in succeeded:
        chosen = choose(facts["question"], facts["operators"])
        context = {"context": facts["question"][:_MOST_TEXT]} if facts["question"].strip() else {}
        return [("invoke_operators", {"operators": chosen, **context})]
    if facts.get("at_work"):
        return [("wait", {"ms": _WAIT_MS})]
    if not alerts:
        return [("done", {})]
    if "get_alerts" not in succeeded:
        return [("get_alerts", {"status": "all"})]
    return [_told(group, facts["earlier"]) or _insight(group, facts["quiet_sensors"]) for group in _group(alerts)]


def _told(group: _Group, earlier: Sequence[Mapping[str, Any]]) -> Step | None:
    """Alerts of a trouble that an insight has named are no second insight, unless they say more or are worse."""
    if group.cause is None:
        return None
    worst = max(_RANK[alert["severity"]] for alert in group.alerts)
    for named in reversed(earlier):
        near = all(abs(alert["detected_at"] - named["at"]) <= _NEAR for alert in group.alerts)
        if near and worst <= _RANK[named["severity"]] and _covers(_named(named), group.cause):
            arguments = {
                "alert_ids": [alert["id"] for alert in group.alerts],
                "status": "resolved",
                "reason": f"belongs to insight {named['insight']}: {named['text']}"[:_MOST_TEXT],
            }
            return "update_alert_statuses", arguments
    return None


def _named(earlier: Mapping[str, Any]) -> Candidate:
    strength = Strength.CONCLUSIVE if earlier["grounded"] else Strength.SUPPORTING
    piece = Evidence(text=earlier["text"], cause=earlier["kind"], strength=strength, place=earlier["place"])
    return Candidate(earlier["kind"], earlier["place"], (piece,))


def _covers(named: Candidate, cause: Candidate) -> bool:
    if same_cause(named, cause):
        return named.conclusive >= cause.conclusive and (named.place is not None or cause.place is None)
    return owns(named, cause)


def causes(alerts: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[Mapping[str, Any]]]]:
    """For each group of alerts: its cause in words and where, both ``""`` when it is not known, and the alerts."""
    found = []
    for group in _group(alerts):
        cause = group.cause
        text = "" if cause is None else cause.text.rstrip(".")
        found.append((text, "" if cause is None else _where(text, cause.place), group.alerts))
    return found


def _where(text: str, place: Place | None) -> str:
    """`` (file:line)``, unless the text says it."""
    if place is None or f"{place.file.rpartition('/')[2]}:{place.line}" in text:
        return ""
    return f" ({place.file}:{place.line})"


def _group(alerts: Sequence[Mapping[str, Any]]) -> list[_Group]:
    """One group a cause; alerts whose cause another one explains join it, those without a cause stay together."""
    groups: list[_Group] = []
    unknown: list[Mapping[str, Any]] = []
    for alert in alerts:
        own = candidates(alert["evidence"])
        if not own:
            unknown.append(alert)
            continue
        same = next((g for g in groups if g.cause is not None and same_cause(g.cause, own[0])), None)
        if same is None:
            groups.append(_Group([alert], own[0], own[1:]))
        else:
            same.alerts.append(alert)
    groups = _absorb(groups)
    if not unknown:
        return groups
    # Alerts that no fact explains came at the same time as one known cause: symptoms of it, perhaps. Beside two
    # causes nobody can say of which, so they stay apart.
    if len(groups) == 1:
        groups[0].alerts.extend(unknown)
        return groups
    return [*groups, _Group(unknown, None)]


def _absorb(groups: list[_Group]) -> list[_Group]:
    """Groups that are a consequence of another one join it, and are listed as that."""
    sure = [group for group in groups if group.cause is not None and group.cause.conclusive]
    owners: dict[int, _Group] = {}

    def root(group: _Group) -> _Group:
        while id(group) in owners:
            group = owners[id(group)]
        return group

    for group in groups:
        # What is not sure of its cause beside one that is: a symptom of it, perhaps. Beside two nobody can say.
        alone = sure[0] if len(sure) == 1 and group not in sure else None
        owner = next((other for other in groups if other is not group and _takes(other, group)), alone)
        if owner is not None and root(owner) is not group:
            owners[id(group)] = owner
    for group in groups:
        owner = root(group)
        if owner is not group:
            owner.alerts.extend(group.alerts)
            owner.consequences += [group.cause] if group.cause is not None else []
    return [group for group in groups if id(group) not in owners]


def _takes(owner: _Group, other: _Group) -> bool:
    if owner.cause is None or other.cause is None or not owns(owner.cause, other.cause):
        return False
    return any(abs(a["detected_at"] - b["detected_at"]) <= _NEAR for a in owner.alerts for b in other.alerts)


def _insight(group: _Group, quiet: Sequence[str]) -> Step:
    evidence = group.evidence
    # What one alert excludes and another one concludes is not excluded.
    against = [piece for piece in excluded(evidence) if group.cause is None or piece.cause != group.cause.cause]
    contested = group.cause is not None and any(p.cause == group.cause.cause for p in excluded(evidence))
    arguments: dict[str, Any] = {
        "alert_ids": [alert["id"] for alert in group.alerts],
        "correlation_type": _correlation(group),
        "matched_observations": [alert["observation"] for alert in group.alerts][:20],
        "ruled_out": [piece.text for piece in against],
    }
    if group.cause is None:
        texts = [piece.text for piece in against] + [f"{name} is quiet" for name in quiet[:8]]
        ruled_out = "; ".join(texts) or "nothing yet"
        seen = " ".join(alert["observation"] for alert in group.alerts)
        arguments |= {
            "summary": f"{seen[: _MOST_TEXT - 1500]} The cause is not known; ruled out: {ruled_out[:1400]}",
            "confidence": "low",
        }
        return "produce_insight", arguments
    arguments |= {
        "summary": _summary(group.cause, group.consequences),
        "root_cause_hypothesis": group.cause.text[:_MOST_TEXT],
        "hypothesis_grounded": group.cause.conclusive,
        "cause_kind": group.cause.cause,
        "confidence": _confidence(group, contested=contested),
    }
    if group.cause.place is not None:
        arguments["cause_place"] = f"{group.cause.place.file}:{group.cause.place.line}"
    return "produce_insight", arguments


def _summary(cause: Candidate, consequences: Sequence[Candidate]) -> str:
    text = cause.text
    if consequences:
        said = "; ".join(dict.fromkeys(one.text.rstrip(".") for one in consequences))
        text = f"{text if text.endswith('.') else text + '.'} Consequences: {said}."
    return text[:_MOST_TEXT]


def _confidence(group: _Group, *, contested: bool) -> Confidence:
    cause = group.cause
    if cause is None:
        return "low"
    if not cause.conclusive:
        return "low" if contested or group.rivals else "medium"
    rival = any(r.conclusive and not explains(cause, r) for r in group.rivals)
    return "medium" if contested or rival else "high"


def _correlation(group: _Group) -> str:
    if group.cause is None:
        return "temporal"
    return "causal" if len({alert["anomaly_type"] for alert in group.alerts}) > 1 else "symptomatic"
