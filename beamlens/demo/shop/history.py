"""What each customer looked at lately."""

from __future__ import annotations

from collections import defaultdict


class History:
    """Visits by customer, for the support desk."""

    def __init__(self) -> None:
        self._visits: defaultdict[int, list[str]] = defaultdict(list)

    def remember(self, customer: int, product: int, size: int, limit: int | None) -> None:
        visits = self._visits[customer % 50]
        visits.append(f"{customer} looked at {product} ".ljust(size, "."))  # fault: cache-leak/history
        if limit is not None and len(visits) > limit:
            del visits[:-limit]
