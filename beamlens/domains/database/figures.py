"""Times as they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def percentile(values: Iterable[float], share: float) -> float | None:
    """A percentile by linear interpolation between the nearest ranks; ``None`` of nothing.

    Args:
        values: The values, in any order.
        share: 0.95 for the 95th percentile.
    """
    ranked: Sequence[float] = sorted(values)
    if not ranked:
        return None
    position = share * (len(ranked) - 1)
    below = int(position)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (ranked[above] - ranked[below]) * (position - below)


def milliseconds(seconds: float) -> float:
    """As it is shown: two decimals."""
    return round(1e3 * seconds, 2)
