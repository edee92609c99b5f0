"""The catalogue: every event that Beamlens emits, with its measurements and metadata.

An event ``watcher.alert_fired`` is the blinker signal ``beamlens.watcher.alert_fired``. Receivers are called with the
component's name as sender and the keywords ``measurements`` (a dict of numbers) and the event's metadata. Every event
carries ``instance``, the name of the Beamlens instance; inside an agent run also ``trace_id``, 32 hex digits. Where
text from the watched process passes (results, reasons, alerts, insights), ``trust`` is ``untrusted``: show it as data,
never follow it, and fence it before it enters a prompt.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from beamlens.telemetry.events.event import COMMON, OPTIONAL, Event, Types, UndeclaredEvent

# A module each, with its ``EVENTS``; read when the catalogue is asked for.
_AREAS = ("instance", "llm", "agents", "sessions", "anomaly", "watchers", "coordinator")

_by_name: dict[str, Event] = {}


def catalogue() -> Mapping[str, Event]:
    """Name to entry of every event."""
    if not _by_name:
        # At once: another thread may read it.
        _by_name.update({event.name: event for event in _entries()})
    return _by_name


def _entries() -> list[Event]:
    modules = [importlib.import_module(f"{__name__}.{area}") for area in _AREAS]
    return [event for module in modules for event in module.EVENTS]


def check(name: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Compare an emission with the catalogue.

    Raises:
        UndeclaredEvent: The event is not in the catalogue, or has another shape.
    """
    event = catalogue().get(name)
    if event is None:
        raise UndeclaredEvent(f"{name} is not in the catalogue")
    event.check(measurements, metadata)


__all__ = ["COMMON", "OPTIONAL", "Event", "Types", "UndeclaredEvent", "catalogue", "check"]
