"""What a sensor is and what it says; the detectors are in their own modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a detector makes of the value it was just given.

    Attributes:
        active: Whether the condition holds now.
        reason: A sentence with numbers, empty while not active.
        severity: How bad, while active.
        data: Numbers behind the reason: baseline, rate, threshold, seconds to the limit.
    """

    active: bool
    reason: str = ""
    severity: Severity = "warning"
    data: dict[str, float] = field(default_factory=dict)


class Detector(Protocol):
    """A streaming detector: constant time and memory a value, causal, no clock of its own."""

    def update(self, timestamp: float, value: float) -> Reading:
        """Take the next value.

        Args:
            timestamp: Seconds on any clock that does not go back by more than a step.
            value: The metric's value.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sensor:
    """A declared watch over one metric.

    Args:
        name: Its name, unique in the domain.
        metric: Key in what ``Domain.sense()`` returns.
        detector: Makes a fresh detector.
        anomaly_type: What an alert from it is called; defaults to the name.
    """

    name: str
    metric: str
    detector: Callable[[], Detector]
    anomaly_type: str = ""


@dataclass(frozen=True, slots=True)
class SensorState:
    """An active sensor, with why.

    Attributes:
        name: The sensor's name.
        metric: The metric that it watches.
        anomaly_type: What an alert from it is called.
        severity: ``info``, ``warning`` or ``critical``.
        reason: A sentence with numbers.
        since: When it became active: seconds on the clock that the bank was fed with.
        value: The metric's last value.
        data: Numbers behind the reason.
    """

    name: str
    metric: str
    anomaly_type: str
    severity: Severity
    reason: str
    since: float
    value: float
    data: dict[str, float] = field(default_factory=dict)
