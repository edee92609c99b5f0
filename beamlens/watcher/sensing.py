"""A wait is a sleep with sensors: reads a domain's numbers at its pace and tells when something changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from beamlens.detect import SensorBank, SensorState
from beamlens.watcher.pace import Pace
from beamlens_actors import AbortSignal, clock
from beamlens_actors.words import in_words

if TYPE_CHECKING:
    from beamlens.domains.domain import Domain
    from beamlens.telemetry import Bus

_KEPT = 60

Values = tuple[float, Mapping[str, float | None]]

HUNG = 30.0
"""Seconds after which reading a domain's numbers is told as hanging."""


@dataclass(frozen=True, slots=True)
class SensorsChanged:
    """Sensors became active or quiet.

    Attributes:
        active: All that are active now.
        new: Those that became active.
        cleared: Names of those that became quiet.
    """

    active: tuple[SensorState, ...]
    new: tuple[SensorState, ...]
    cleared: tuple[str, ...]


class Sensing:
    """Feeds one domain's sensors. `run` is the body of a task; the rest may be called from anywhere."""

    def __init__(self, domain: Domain, bus: Bus, name: str, tell: Callable[[SensorsChanged], object]) -> None:
        self._domain = domain
        self._bus = bus
        self._name = name
        self._tell = tell
        self._pace = Pace()
        self._bank = SensorBank(domain.all_sensors())
        self._failing = False
        self._recent: deque[Values] = deque(maxlen=_KEPT)

    def recent(self) -> list[Values]:
        """The last readings, oldest first: when, on the clock of the sensors, and the numbers."""
        return list(self._recent.copy())

    def active(self) -> tuple[SensorState, ...]:
        """The sensors that are active now."""
        return self._bank.active()

    def quiet(self) -> list[str]:
        """Names of the sensors that are watched and not active."""
        active = {sensor.name for sensor in self._bank.active()}
        return [name for name in self._bank.names() if name not in active]

    def run(self, abort: AbortSignal) -> None:
        """Read at its pace until aborted; once, where nothing is to be watched."""
        while not abort.aborted:
            self._pace.begin()
            self.read()
            seconds = self._pace.end(active=bool(self._bank.active()))
            abort.wait(seconds if self._bank.names() else None)

    def read(self) -> None:
        """Read once and tell what changed."""
        before = {sensor.name for sensor in self._bank.active()}
        overdue = clock.call_later(HUNG, lambda: self._failed(f"sense() has not returned for {HUNG:g} s"))
        try:
            values = self._domain.sense()
        except Exception as error:  # noqa: BLE001 - a domain is foreign code; the watch goes on
            self._failed(in_words(error))
            return
        finally:
            overdue.cancel()
        self._failing = False
        now = clock.monotonic()
        new = tuple(self._bank.feed(now, values))
        self._recent.append((now, dict(values)))
        active = self._bank.active()
        cleared = tuple(sorted(before - {sensor.name for sensor in active}))
        for sensor in new:
            self._bus.emit(
                "watcher.sensor_active",
                self._name,
                {"value": sensor.value},
                sensor=sensor.name,
                severity=sensor.severity,
                reason=sensor.reason,
                trust="untrusted",
            )
        for name in cleared:
            self._bus.emit("watcher.sensor_cleared", self._name, sensor=name)
        if new or cleared:
            self._tell(SensorsChanged(active, new, cleared))

    def _failed(self, reason: str) -> None:
        """Tell that the numbers cannot be read; once, until they can be again."""
        if not self._failing:
            self._failing = True
            self._bus.emit("watcher.sensor_failed", self._name, reason=reason, trust="untrusted")
