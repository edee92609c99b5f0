"""Facts apart from speculation, in code: what an insight may claim (design D6)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from beamlens.agent import ToolError
from beamlens.evidence import Strength
from beamlens.findings import Alert, Confidence

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Claim:
    """What may be claimed.

    Attributes:
        grounded: Whether the cause is carried by independent sources.
        confidence: How sure one may be.
        changed: What was claimed and may not be, in sentences for the model.
    """

    grounded: bool
    confidence: Confidence
    changed: tuple[str, ...] = ()


def check_observations(matched: Iterable[str], alerts: Sequence[Alert]) -> None:
    """Observations are quoted, not retold: each must stand in one of the alerts, word for word.

    Raises:
        ToolError: Some do not; names them and those that could be meant.
    """
    known = [_plain(text) for alert in alerts for text in _facts(alert)]
    if missing := [text for text in matched if not any(_plain(text) in fact for fact in known)]:
        have = "\n".join(f"- {alert.observation}" for alert in alerts[:_SHOWN])
        raise ToolError(
            f"{len(missing)} of matched_observations are not in these alerts word for word. Quote them as they are.",
            f"\nNot found: {'; '.join(missing[:_SHOWN])}\nThe observations are:\n{have}",
        )


def judge(
    alerts: Sequence[Alert], *, grounded: bool, cause: bool, cause_kind: str | None, confidence: Confidence
) -> Claim:
    """Whether facts carry what is claimed.

    A hypothesis is grounded by two independent sources (alerts of different watchers or operators), or by evidence
    that is conclusive for the cause. A cause that is not grounded is told with medium confidence at most: a wrong one
    told with high confidence is the worst result there is.

    Args:
        alerts: Those of the insight.
        grounded: Whether it is claimed.
        cause: Whether a cause is named.
        cause_kind: Its kind, if it was told.
        confidence: What is claimed.
    """
    changed = []
    if grounded and not _is_carried(alerts, cause_kind):
        grounded = False
        changed.append(
            "hypothesis_grounded was set to false: it needs alerts of two watchers or operators, or conclusive evidence"
        )
    if cause and not grounded and confidence == "high":
        confidence = "medium"
        changed.append("confidence was set to medium: the cause is not grounded")
    return Claim(grounded, confidence, tuple(changed))


def _is_carried(alerts: Sequence[Alert], cause_kind: str | None) -> bool:
    if len({alert.watcher for alert in alerts}) >= 2:
        return True
    pieces = [piece for alert in alerts for piece in alert.evidence if piece.strength is Strength.CONCLUSIVE]
    return any(cause_kind is None or piece.cause == cause_kind for piece in pieces)


def _facts(alert: Alert) -> list[str]:
    return [alert.observation, alert.context, *(piece.text for piece in alert.evidence)]


def _plain(text: str) -> str:
    """Without what copying changes: white space, a full stop at the end, forms of a character, lone surrogates."""
    whole = text.encode("utf-8", "backslashreplace").decode()
    return " ".join(unicodedata.normalize("NFKC", whole).split()).rstrip(".").casefold()
