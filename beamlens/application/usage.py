"""What the models were asked and what it cost."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

_NUMBERS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


class Usage:
    """Counts calls, tokens and dollars by agent. A listener of the bus."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_agent: dict[str, dict[str, Any]] = {}

    def listen(self, name: str, sender: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Take an event; calls of the offline analyst are no calls of a model."""
        if name not in ("llm.stop", "llm.exception") or metadata["model"] == "offline":
            return
        with self._lock:
            row = self._by_agent.setdefault(sender, _empty())
            row["calls"] += 1
            if name == "llm.exception":
                row["failed"] += 1
                return
            for number in _NUMBERS:
                row[number] += measurements[number]
            cost = measurements["cost_usd"]
            if cost is None:
                row["calls_of_unknown_cost"] += 1
            else:
                row["cost_usd"] += cost

    def summary(self) -> dict[str, Any]:
        """``calls``, ``failed``, tokens, ``cost_usd``, ``calls_of_unknown_cost``, and the same ``by_agent``."""
        with self._lock:
            agents = {name: dict(row) for name, row in self._by_agent.items()}
        total = _empty()
        for row in agents.values():
            for key, value in row.items():
                total[key] += value
        return {**total, "by_agent": agents}


def _empty() -> dict[str, Any]:
    return {"calls": 0, "failed": 0, **dict.fromkeys(_NUMBERS, 0), "cost_usd": 0.0, "calls_of_unknown_cost": 0}
