"""What a number means: its name, its unit, and when it is worth a look."""

from __future__ import annotations

from dataclasses import dataclass


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
    """

    name: str
    unit: str = ""
    high: float | None = None
    critical: float | None = None
    low: float | None = None
    description: str = ""

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
