"""One log line an event, for whoever wants to read along."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from beamlens.telemetry.bus import signal
from beamlens.telemetry.events import catalogue

logger = logging.getLogger("beamlens.telemetry.events")

_MOST_CHARACTERS = 200
_level = logging.DEBUG
_receivers: dict[str, Any] = {}


def attach_default_logger(level: str | int = "DEBUG") -> None:
    """Log every event on the logger ``beamlens.telemetry.events``. Attached already: changes the level.

    Args:
        level: A level of ``logging``, as name or number.

    Raises:
        ValueError: There is no such level.
    """
    global _level
    number = logging.getLevelNamesMapping().get(level.upper()) if isinstance(level, str) else level
    if not isinstance(number, int):
        names = ", ".join(logging.getLevelNamesMapping())
        raise ValueError(f"unknown level {level!r}; the levels are: {names}")  # noqa: TRY004 - a value, not a type
    _level = number
    for name in catalogue():
        if name not in _receivers:
            receiver = _receivers[name] = _make_receiver(name)
            signal(name).connect(receiver, weak=False)


def detach_default_logger() -> None:
    """Undo `attach_default_logger`. Fine when it was not attached."""
    while _receivers:
        name, receiver = _receivers.popitem()
        signal(name).disconnect(receiver)


def _make_receiver(name: str) -> Any:
    def log_event(sender: str, *, measurements: Mapping[str, Any], **metadata: Any) -> None:
        if logger.isEnabledFor(_level):
            numbers = {key: value for key, value in measurements.items() if key != "system_time"}
            pairs = " ".join(f"{key}={_short(value)}" for key, value in {**metadata, **numbers}.items())
            logger.log(_level, "[%s] %s %s", name, sender, pairs)

    return log_event


def _short(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 3] + "..."
