"""Alerts and insights as log records, so that they reach whatever the host's logging reaches."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger("beamlens.alerts")

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}


def listen(name: str, _sender: str, _measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """A listener of the bus: one record for each alert and insight, which it carries as ``alert`` or ``insight``."""
    if name == "watcher.alert_fired":
        alert = metadata["alert"]
        text = "alert %s [%s] %s: %s"
        logger.log(
            _LEVELS[alert.severity], text, alert.id, alert.severity, alert.anomaly_type, alert.summary,
            extra={"alert": alert},
        )  # fmt: skip
    elif name == "coordinator.insight_produced":
        insight = metadata["insight"]
        logger.warning(
            "insight %s [%s confidence]: %s",
            insight.id,
            insight.confidence,
            insight.summary,
            extra={"insight": insight},
        )
