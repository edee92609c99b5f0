"""What is beyond its bounds while an operator looks: the watcher's sensors, or its own for as long as it looks."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from beamlens.detect import Growth, Sensor, SensorBank, SensorState, Threshold
from beamlens_actors import AbortSignal, clock
from beamlens_actors.words import in_words

if TYPE_CHECKING:
    from beamlens.domains.domain import Domain

PACE = 1.0
_REST = 20.0
_ENOUGH = 10

Values = tuple[float, Mapping[str, float | None]]


class Watching(Protocol):
    """The sensors of a domain's watcher, as an operator sees them."""

    def active(self) -> tuple[SensorState, ...]:
        """Those that are active now."""
        ...

    def recent(self) -> Sequence[Values]:
        """The last readings, oldest first: when, on the clock of the sensors, and the numbers."""
        ...


class Senses(Protocol):
    """What an operator goes by."""

    @property
    def settled(self) -> bool:
        """Whether there are enough readings to call what is quiet healthy."""
        ...

    def active(self) -> tuple[SensorState, ...]:
        """The sensors that are active now."""
        ...


class Blind:
    """Before there is a domain."""

    settled = False

    def active(self) -> tuple[SensorState, ...]:
        """None."""
        return ()


class Asked:
    """Sensors that only whoever asks wants: the growth of each metric that is declared as harmful when it goes up.

    Such growth wakes no watcher: another domain may be the one to tell it, and it may end. Thread-safe.
    """

    def __init__(self, domain: Domain) -> None:
        self._names = {sensor.name for sensor in domain.all_sensors()}
        self._by_metric = {sensor.metric: sensor for sensor in reversed(domain.sensors)}
        self._bank = SensorBank(self._growths(domain))
        self._lock = threading.Lock()
        self._fed = float("-inf")

    def _growths(self, domain: Domain) -> list[Sensor]:
        found = []
        for metric in domain.metrics:
            if metric.direction == "up" and metric.kind == "gauge" and metric.least_change:
                detector = partial(Growth, least=metric.least_change, unit=metric.unit, what=metric.name)
                found.append(Sensor(f"{metric.name}_growth", metric.name, detector))
        return [sensor for sensor in found if sensor.name not in self._names]

    def feed(self, readings: Iterable[Values]) -> None:
        """Take readings, oldest first; those that were taken already count once."""
        with self._lock:
            for at, values in readings:
                if at > self._fed:
                    self._fed = at
                    self._bank.feed(at, values)

    def beside(self, active: Sequence[SensorState]) -> tuple[SensorState, ...]:
        """The domain's own active sensors, and those of metrics on which it has none that is active."""
        known = {state.metric for state in active}
        return (*active, *(state for state in self._bank.active() if state.metric not in known))

    def for_evidence(self, state: SensorState) -> SensorState:
        """The state as the domain knows it: under the name of its own sensor on that metric, where it has one."""
        own = self._by_metric.get(state.metric)
        return state if own is None or state.name in self._names else dataclasses.replace(state, name=own.name)


class Watched:
    """The sensors of the domain's watcher, and what grew in its last readings."""

    def __init__(self, watching: Watching, asked: Asked) -> None:
        self._watching = watching
        self._asked = asked

    @property
    def settled(self) -> bool:
        """See `Senses`."""
        return len(self._watching.recent()) >= _ENOUGH

    def active(self) -> tuple[SensorState, ...]:
        """See `Senses`."""
        self._asked.feed(self._watching.recent())
        return self._asked.beside(self._watching.active())


class Sensing:
    """The sensors of a domain that nobody watches. `run` is the body of a task.

    A threshold counts from the first reading on: whoever asks wants to know how it is, not whether it lasts.
    """

    settled = False

    def __init__(self, domain: Domain, asked: Asked, failed: Callable[[str], object]) -> None:
        """Make one; nothing is read yet.

        Args:
            domain: What is read.
            asked: Is fed too.
            failed: Is told why reading failed, once in a row.
        """
        self._domain = domain
        self._asked = asked
        self._failed = failed
        self._failing = False
        self._bank = SensorBank(map(self._at_once, domain.all_sensors()))

    def _at_once(self, sensor: Sensor) -> Sensor:
        metric = next((one for one in self._domain.metrics if f"{one.name}_threshold" == sensor.name), None)
        if metric is None:
            return sensor
        return dataclasses.replace(sensor, detector=partial(Threshold, metric, lasting=0.0))

    def active(self) -> tuple[SensorState, ...]:
        """See `Senses`."""
        return self._asked.beside(self._bank.active())

    def run(self, abort: AbortSignal) -> None:
        """Read about once a second until aborted; less often what takes long."""
        while not abort.wait(PACE):
            began = clock.monotonic()
            self.read()
            abort.wait(_REST * (clock.monotonic() - began))

    def read(self) -> None:
        """Read once."""
        try:
            values: Mapping[str, float | None] = self._domain.sense()
        except Exception as error:  # noqa: BLE001 - a domain is foreign code
            if not self._failing:
                self._failed(in_words(error))
            self._failing = True
            return
        self._failing = False
        now = clock.monotonic()
        self._bank.feed(now, values)
        self._asked.feed([(now, values)])
