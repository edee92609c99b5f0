"""What keeps the watch itself from working, as log records: else nobody hears of it who does not listen to signals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from beamlens_actors import clock

logger = logging.getLogger("beamlens")

AGAIN_AFTER = 3600.0
"""Seconds in which the same trouble of the same agent is told once."""

Metadata = Mapping[str, Any]


def _model(metadata: Metadata) -> str:
    if metadata["will_retry"]:
        return ""
    return f"its model cannot be asked, and the offline analyst takes its place: {metadata['reason']}"


_TROUBLES: dict[str, Callable[[Metadata], str]] = {
    "sensor_failed": lambda metadata: f"its numbers cannot be read: {metadata['reason']}",
    "evidence_failed": lambda metadata: f"its closer look at {metadata['sensor']} failed: {metadata['reason']}",
    "llm_error": _model,
}
_KINDS = ("watcher", "operator", "coordinator")


class TroubleLog:
    """A listener of the bus: a warning for each kind of trouble of each agent, at most one an hour."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def listen(self, name: str, sender: str, _measurements: Metadata, metadata: Metadata) -> None:
        """See `beamlens.telemetry.Bus.listen`."""
        kind, _, what = name.partition(".")
        trouble = _TROUBLES.get(what)
        text = trouble(metadata) if trouble is not None and kind in _KINDS else ""
        if not text:
            return
        now = clock.monotonic()
        before, left_out = self._told.get((name, sender), (now - AGAIN_AFTER, 0))
        if now - before < AGAIN_AFTER:
            self._told[name, sender] = before, left_out + 1
            return
        self._told[name, sender] = now, 0
        if left_out:
            text += f" ({left_out} more since that was last said)"
        logger.warning("%s: %s", sender if sender == kind else f"{kind} {sender}", text)
