"""What a number means: its name, its unit, and when it is worth a look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# What nobody would get up for, in units that everybody uses alike.
_MATTERS = {
    "ms": 10.0,
    "s": 0.1,
    "%": 5.0,
    "bytes": 16e6,
    "MB": 16.0,
    "threads": 8.0,
    "descriptors": 16.0,
}

Harm = Literal["up", "down", "both", "none"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a domain's snapshot.

    Args:
        name: Key in the snapshot.
        unit: Unit as a person writes it, such as ``"MB"``, ``"ms"``, ``"%"``, ``"orders"``.
        high: From this value on it is worth an alert (``warning``), if it lasts. ``None``: never by itself.
        critical: From this value on the alert is ``critical``.
        low: Down to this value it is worth an alert. ``None``: never by itself.
        description: What it counts, in a few words; shown to the model.
        kind: A ``counter`` only grows until its process restarts: what is watched is its rate.
        direction: Which way is harmful; ``none``: it is no trouble by itself, as load is not. By default what the
            thresholds say, else both.
        matters: The least change that is worth an alert, however unusual. By default what the unit suggests.
        of: For a share in percent: the metric of the same domain that counts what it is a share of. A change that one
            or two of those make is an accident.

    Raises:
        ValueError: `kind` or `direction` is none of the choices.
    """

    name: str
    unit: str = ""
    high: float | None = None
    critical: float | None = None
    low: float | None = None
    description: str = ""
    kind: Literal["gauge", "counter"] = "gauge"
    direction: Harm | None = None
    matters: float | None = None
    of: str | None = None

    def __post_init__(self) -> None:
        """Check the two that are choices."""
        if self.kind not in ("gauge", "counter"):
            raise ValueError(f"metric {self.name}: kind={self.kind!r}; the choices are: gauge, counter")
        if self.direction not in (None, "up", "down", "both", "none"):
            raise ValueError(f"metric {self.name}: direction={self.direction!r}; the choices are: up, down, both, none")

    @property
    def harm(self) -> Harm:
        """Which way is harmful: as declared, else as the thresholds say, else both."""
        if self.direction is not None:
            return self.direction
        above = self.high is not None or self.critical is not None
        if above == (self.low is not None):
            return "both"
        return "up" if above else "down"

    @property
    def least_change(self) -> float:
        """The least change that is worth an alert: as declared, else what the unit suggests; 0 where it does not."""
        return self.matters if self.matters is not None else _MATTERS.get(self.unit, 0.0)

    @property
    def declared(self) -> bool:
        """Whether somebody said what is harmful: a threshold or a direction."""
        return any(each is not None for each in (self.high, self.critical, self.low, self.direction))

    def describe(self) -> str:
        """One line for a prompt: name, unit, thresholds, description."""
        parts = [f"{self.name}" + (f" [{self.unit}]" if self.unit else "")]
        if self.description:
            parts.append(self.description)
        limits = [
            f"{label} {bound:g}"
            for label, bound in (("low", self.low), ("high", self.high), ("critical", self.critical))
            if bound is not None
        ]
        if limits:
            parts.append("thresholds: " + ", ".join(limits))
        return "; ".join(parts)
