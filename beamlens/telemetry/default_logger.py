"""One log line an event, for whoever wants to read along."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from beamlens.errors import BeamlensError, ConfigError
from beamlens.telemetry.bus import signal
from beamlens.telemetry.events import catalogue

logger = logging.getLogger("beamlens.telemetry.events")

_MOST_CHARACTERS = 200
_level = logging.DEBUG
_receivers: dict[str, Any] = {}


def attach_default_logger(level: str | int = "DEBUG") -> None:
    """Log every event on the logger ``beamlens.telemetry.events``.

    Args:
        level: A level of ``logging``, as name or number.

    Raises:
        ConfigError: There is no such level.
        BeamlensError: It is attached already; to change the level, detach it first.
    """
    global _level
    number = logging.getLevelNamesMapping().get(level.upper()) if isinstance(level, str) else level
    if not isinstance(number, int) or isinstance(number, bool):
        names = ", ".join(logging.getLevelNamesMapping())
        raise ConfigError(f"unknown level {level!r}; the levels are: {names}", field="level")
    if _receivers:
        raise BeamlensError("the default logger is attached already; detach_default_logger() takes it off")
    _level = number
    for name in catalogue():
        receiver = _receivers[name] = _make_receiver(name)
        signal(name).connect(receiver, weak=False)


def detach_default_logger() -> None:
    """Undo `attach_default_logger`.

    Raises:
        BeamlensError: It is not attached.
    """
    if not _receivers:
        raise BeamlensError("the default logger is not attached; attach_default_logger() attaches it")
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
