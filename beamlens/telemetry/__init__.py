"""Everything that happens is a signal: connect a receiver, or log them all."""

from beamlens.telemetry.bus import Bus, signal
from beamlens.telemetry.default_logger import attach_default_logger, detach_default_logger
from beamlens.telemetry.events import Event, UndeclaredEvent, catalogue
from beamlens.telemetry.run import Run, new_trace_id

__all__ = [
    "Bus",
    "Event",
    "Run",
    "UndeclaredEvent",
    "attach_default_logger",
    "catalogue",
    "detach_default_logger",
    "new_trace_id",
    "signal",
]
