"""What was found: metrics that moved, and those that moved together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from beamlens.detect import Severity

_NAMED = 6
_RANK = {"info": 0, "warning": 1, "critical": 2}


@dataclass(frozen=True, slots=True)
class Moved:
    """A metric that left its baseline.

    Attributes:
        domain: Whose it is.
        metric: Its name.
        unit: Its unit; for a counter a second.
        since: When it left, seconds since the epoch.
        usual: Where it was: the median of its baseline.
        value: Where it is.
        z: Standard deviations from there; at most a million.
        severity: How bad.
        score: The detector's, in [0, 1].
        consecutive: Collections in a row.
        rate: Whether it is the rate of a counter.
    """

    domain: str
    metric: str
    unit: str
    since: float
    usual: float
    value: float
    z: float
    severity: Severity
    score: float
    consecutive: int
    rate: bool = False

    @property
    def name(self) -> str:
        """``domain.metric``."""
        return f"{self.domain}.{self.metric}"

    @property
    def direction(self) -> str:
        """``up`` or ``down``."""
        return "up" if self.value > self.usual else "down"

    def sentence(self) -> str:
        """From what to what, as a person says it."""
        unit = f" {self.unit}" if self.unit else ""
        verb = "rose" if self.value > self.usual else "fell"
        what = f"the rate of {self.name}" if self.rate else self.name
        return f"{what} {verb} from {_number(self.usual)} to {_number(self.value)}{unit}"

    def view(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "domain": self.domain,
            "metric": self.metric,
            "unit": self.unit or None,
            "rate": self.rate,
            "direction": self.direction,
            "usual": round_off(self.usual),
            "value": round_off(self.value),
            "z": round_off(self.z),
            "severity": self.severity,
            "score": round(self.score, 3),
            "consecutive": self.consecutive,
            "since": moment(self.since),
        }


@dataclass(frozen=True, slots=True)
class Incident:
    """Metrics that moved at the same time: one escalation.

    Attributes:
        at: When it was told, seconds since the epoch.
        moved: The metrics, the one that moved farthest first.
    """

    at: float
    moved: tuple[Moved, ...]

    @property
    def severity(self) -> Severity:
        """That of the worst."""
        return max((one.severity for one in self.moved), key=lambda severity: _RANK[severity])

    def sentence(self) -> str:
        """What moved, from where to where, since when."""
        said = "; ".join(one.sentence() for one in self.moved[:_NAMED])
        more = len(self.moved) - _NAMED
        if more > 0:
            said += f"; and {more} more"
        since = datetime.fromtimestamp(min(one.since for one in self.moved), UTC)
        together = "together, " if len(self.moved) > 1 else ""
        return f"{said} ({together}since {since:%H:%M:%S} UTC)"

    def summary(self) -> str:
        """Names and values, for a run that this asks for."""
        return ", ".join(f"{one.name}: {_number(one.value)}" for one in self.moved[:_NAMED])


def order(moved: Sequence[Moved]) -> tuple[Moved, ...]:
    """The worst first, then the farthest."""
    return tuple(sorted(moved, key=lambda one: (-_RANK[one.severity], -one.score, -abs(one.z), one.name)))


def moment(seconds: float) -> str:
    """ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def round_off(value: float) -> float:
    """To four digits; infinite becomes a million."""
    if math.isinf(value):
        return math.copysign(1e6, value)
    return float(f"{value:.4g}")


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
