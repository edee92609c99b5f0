"""What is beyond its bounds while an operator looks: the watcher's sensors, or its own for as long as it looks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

from beamlens.detect import Growth, Sensor, SensorBank, SensorState, Threshold
from beamlens_actors import AbortSignal, clock

if TYPE_CHECKING:
    from beamlens.domains.domain import Domain

PACE = 1.0
_REST = 20.0


class Senses(Protocol):
    """Knows which sensors are active."""

    def active(self) -> tuple[SensorState, ...]:
        """Those that are active now."""
        ...


class Watched:
    """The sensors of the domain's watcher."""

    def __init__(self, active: Callable[[], tuple[SensorState, ...]]) -> None:
        self.active = active


class Sensing:
    """Sensors of a domain that nobody watches. `run` is the body of a task.

    A threshold counts from the first reading on: whoever asks wants to know how it is, not whether it lasts. Besides
    the domain's own sensors it watches the growth of each metric that is declared as harmful when it goes up.
    """

    def __init__(self, domain: Domain, failed: Callable[[str], object]) -> None:
        """Make one; nothing is read yet.

        Args:
            domain: What is read.
            failed: Is told why reading failed, once in a row.
        """
        self._domain = domain
        self._failed = failed
        self._failing = False
        self._own = {sensor.metric: sensor for sensor in reversed(domain.sensors)}
        self._bank = SensorBank([*map(self._at_once, domain.all_sensors()), *self._growths()])

    def _at_once(self, sensor: Sensor) -> Sensor:
        metric = next((one for one in self._domain.metrics if f"{one.name}_threshold" == sensor.name), None)
        if metric is None:
            return sensor
        return dataclasses.replace(sensor, detector=partial(Threshold, metric, lasting=0.0))

    def _growths(self) -> list[Sensor]:
        found = []
        for metric in self._domain.metrics:
            if metric.direction == "up" and metric.kind == "gauge" and metric.least_change:
                detector = partial(Growth, least=metric.least_change, unit=metric.unit, what=metric.name)
                found.append(Sensor(f"{metric.name}_growth", metric.name, detector))
        names = {sensor.name for sensor in self._domain.all_sensors()}
        return [sensor for sensor in found if sensor.name not in names]

    def active(self) -> tuple[SensorState, ...]:
        """Those that are active now; of two on one metric with one severity the domain's own."""
        active = self._bank.active()
        own = {sensor.name for sensor in self._domain.all_sensors()}
        known = {state.metric for state in active if state.name in own}
        return tuple(state for state in active if state.name in own or state.metric not in known)

    def for_evidence(self, state: SensorState) -> SensorState:
        """The state as the domain knows it: under the name of its own sensor on that metric, where it has one."""
        own = self._own.get(state.metric)
        if own is None or any(sensor.name == state.name for sensor in self._domain.all_sensors()):
            return state
        return dataclasses.replace(state, name=own.name)

    def run(self, abort: AbortSignal) -> None:
        """Read about once a second until aborted; less often what takes long."""
        while not abort.aborted:
            began = clock.monotonic()
            self.read()
            abort.wait(max(PACE, _REST * (clock.monotonic() - began)))

    def read(self) -> None:
        """Read once."""
        try:
            values: Mapping[str, float | None] = self._domain.sense()
        except Exception as error:  # noqa: BLE001 - a domain is foreign code
            if not self._failing:
                self._failed(f"{type(error).__name__}: {error}")
            self._failing = True
            return
        self._failing = False
        self._bank.feed(clock.monotonic(), values)
