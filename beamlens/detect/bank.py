"""The sensors of one domain, fed together."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping

from beamlens.detect.sensors import Detector, Sensor, SensorState

logger = logging.getLogger("beamlens.detect")


class SensorBank:
    """Feeds sensors and knows which are active. Fed by one thread, read from any."""

    def __init__(self, sensors: Iterable[Sensor]) -> None:
        self._sensors: list[tuple[Sensor, Detector]] = [(sensor, sensor.detector()) for sensor in sensors]
        # Replaced, never changed, so that readers need no lock.
        self._active: dict[str, SensorState] = {}

    def names(self) -> tuple[str, ...]:
        """Names of all sensors that work."""
        return tuple(sensor.name for sensor, _ in self._sensors)

    def active(self) -> tuple[SensorState, ...]:
        """The sensors that are active now, in the order of their declaration."""
        return tuple(self._active.values())

    def feed(self, timestamp: float, values: Mapping[str, float | None]) -> list[SensorState]:
        """Give every sensor its metric's new value.

        A metric that is missing or ``None`` leaves its sensors as they are. A detector that raises is taken out and
        logged.

        Args:
            timestamp: Seconds of a monotonic clock.
            values: Metric name to value.

        Returns:
            The sensors that became active by this.
        """
        before, now, new = self._active, {}, []
        for sensor, detector in list(self._sensors):
            state = before.get(sensor.name)
            value = values.get(sensor.metric)
            if value is not None:
                state = self._update(sensor, detector, timestamp, float(value), state)
            if state is not None:
                now[sensor.name] = state
                if sensor.name not in before:
                    new.append(state)
        self._active = now
        return new

    def _update(
        self, sensor: Sensor, detector: Detector, timestamp: float, value: float, before: SensorState | None
    ) -> SensorState | None:
        try:
            reading = detector.update(timestamp, value)
        except Exception:
            logger.exception("sensor %s failed and is out of use", sensor.name)
            self._sensors.remove((sensor, detector))
            return None
        if not reading.active:
            return None
        state = SensorState(
            name=sensor.name,
            metric=sensor.metric,
            anomaly_type=sensor.anomaly_type or sensor.name,
            severity=reading.severity,
            reason=reading.reason,
            since=timestamp,
            value=value,
            data=reading.data,
        )
        return state if before is None else dataclasses.replace(state, since=before.since)
