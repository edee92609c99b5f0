"""The sensors of one domain, fed together."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterable, Mapping

from beamlens.detect.sensors import Detector, Sensor, SensorState
from beamlens_actors.words import in_words

logger = logging.getLogger("beamlens.detect")


class SensorBank:
    """Feeds sensors and knows which are active. Fed by one thread, read from any."""

    def __init__(self, sensors: Iterable[Sensor]) -> None:
        """Make a fresh detector for each sensor; one whose detector cannot be made is out of use, and logged."""
        # All three are replaced, never changed, so that readers need no lock.
        self._sensors: tuple[tuple[Sensor, Detector], ...] = ()
        self._active: dict[str, SensorState] = {}
        self._failed: dict[str, str] = {}
        for sensor in sensors:
            try:
                self._sensors = (*self._sensors, (sensor, sensor.detector()))
            except Exception as error:  # noqa: BLE001 - foreign code; the others go on
                self._take_out(sensor, error)

    def names(self) -> tuple[str, ...]:
        """Names of all sensors that work."""
        return tuple(sensor.name for sensor, _ in self._sensors)

    def failed(self) -> dict[str, str]:
        """Names of the sensors that are out of use, each with what its detector raised."""
        return dict(self._failed)

    def active(self) -> tuple[SensorState, ...]:
        """The sensors that are active now, in the order of their declaration."""
        return tuple(self._active.values())

    def feed(self, timestamp: float, values: Mapping[str, float | None]) -> list[SensorState]:
        """Give every sensor its metric's new value.

        A metric that is missing, ``None`` or no finite number leaves its sensors as they are. A detector that raises is
        taken out and logged.

        Args:
            timestamp: Seconds of a monotonic clock.
            values: Metric name to value.

        Returns:
            The sensors that became active by this.
        """
        before, now, new = self._active, {}, []
        for sensor, detector in self._sensors:
            state = before.get(sensor.name)
            value = _number(values.get(sensor.metric))
            if value is not None:
                state = self._update(sensor, detector, timestamp, value, state)
            if state is not None:
                now[sensor.name] = state
                if sensor.name not in before:
                    new.append(state)
        self._active = now
        return new

    def _take_out(self, sensor: Sensor, error: Exception) -> None:
        logger.error("sensor %s failed and is out of use", sensor.name, exc_info=error)
        self._sensors = tuple(pair for pair in self._sensors if pair[0] is not sensor)
        self._failed = {**self._failed, sensor.name: in_words(error)}

    def _update(
        self, sensor: Sensor, detector: Detector, timestamp: float, value: float, before: SensorState | None
    ) -> SensorState | None:
        try:
            reading = detector.update(timestamp, value)
        except Exception as error:  # noqa: BLE001 - foreign code; the others go on
            self._take_out(sensor, error)
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


def _number(value: object) -> float | None:
    """A finite number, or nothing: what a domain returns is foreign."""
    try:
        number = None if value is None else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None
