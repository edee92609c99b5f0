"""A fixed bound, held for some seconds."""

from __future__ import annotations

from beamlens.detect.sensors import Reading, Severity
from beamlens.metrics import Metric

_QUIET = Reading(active=False)


class Threshold:
    """Active while a metric is beyond its declared bounds, for at least `lasting` seconds.

    It leaves at 95 % of the bound (105 % of a lower bound), so that a value that hovers does not flap.
    """

    def __init__(self, metric: Metric, lasting: float = 3.0) -> None:
        """Watch a metric's ``high``, ``critical`` and ``low``.

        Args:
            metric: Name, unit and bounds.
            lasting: Seconds that a value must stay beyond a bound.
        """
        self._metric = metric
        self._lasting = lasting
        self._since: float | None = None
        self._active = False

    def update(self, timestamp: float, value: float) -> Reading:
        """See `Detector.update`."""
        slack = 0.05 if self._active else 0.0
        severity, bound, direction = self._judge(value, slack)
        if severity is None:
            self._since, self._active = None, False
            return _QUIET
        if self._since is None or timestamp < self._since:
            self._since = timestamp
        if timestamp - self._since < self._lasting:
            return _QUIET
        self._active = True
        unit = f" {self._metric.unit}" if self._metric.unit else ""
        lasted = timestamp - self._since
        # Of a first reading nobody knows how long it has been so.
        since = f" for {lasted:.0f} s" if lasted or self._lasting else ""
        reason = f"{self._metric.name} is {value:g}{unit}, {direction} {bound:g}{unit}{since}"
        return Reading(active=True, reason=reason, severity=severity, data={"threshold": bound})

    def _judge(self, value: float, slack: float) -> tuple[Severity | None, float, str]:
        metric = self._metric
        if metric.critical is not None and value >= metric.critical - slack * abs(metric.critical):
            return "critical", metric.critical, "at or above"
        if metric.high is not None and value >= metric.high - slack * abs(metric.high):
            return "warning", metric.high, "at or above"
        if metric.low is not None and value <= metric.low + slack * abs(metric.low):
            return "warning", metric.low, "at or below"
        return None, 0.0, ""
