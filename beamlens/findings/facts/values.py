"""Numbers that can be looked up by unit and interval."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict

from beamlens.findings.facts.units import COUNT, PERCENT, PLAIN, TIMES, Unit


class Values:
    """A bag of numbers with units."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._sorted: dict[tuple[str, str], list[float]] = {}

    def put(self, value: float, unit: Unit = PLAIN) -> None:
        """Add one number."""
        self._sorted.clear()
        self._values["raw", ""].append(value)
        if unit.dimension:
            self._values["decimal", unit.dimension].append(value * unit.decimal)
            self._values["binary", unit.dimension].append(value * unit.binary)
        else:
            self._values["decimal", ""].append(value * unit.decimal)

    def hold(self, unit: Unit, low: float, high: float) -> bool:
        """Whether a number lies in a closed interval, given in a unit."""
        decimal = (low * unit.decimal, high * unit.decimal)
        if not unit.dimension or unit.dimension == COUNT:
            # Thousands may be spelled out in the evidence, or written with the same letter.
            return self._has(*decimal, "raw") or self._has(*decimal, "decimal")
        if unit.dimension == TIMES and self._has(low, high, "raw"):
            return True  # "5 times" counts as well
        binary = (low * unit.binary, high * unit.binary)
        if self._has(*decimal, "decimal", unit.dimension) or self._has(*binary, "binary", unit.dimension):
            return True
        # Evidence without a unit may be in the written one, in the base, or a share.
        if self._has(low, high, "decimal"):
            return True
        if unit.dimension == PERCENT:
            return abs(high) <= 100.5 and self._has(low / 100, high / 100, "decimal")
        return self._has(*decimal, "decimal") or self._has(*binary, "decimal")

    def _has(self, low: float, high: float, how: str, dimension: str = "") -> bool:
        """``raw``: as written, whatever the unit; ``decimal`` or ``binary``: of the dimension, in its base."""
        key = (how, dimension)
        if key not in self._sorted:
            self._sorted[key] = sorted(self._values.get(key, ()))
        values = self._sorted[key]
        index = bisect_left(values, low)
        return index < len(values) and values[index] <= high
