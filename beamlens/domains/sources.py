"""What a domain that watches other domains is given: it never imports them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from beamlens.detect import SensorState
    from beamlens.evidence import Evidence
    from beamlens.metrics import Metric


@dataclass(frozen=True, slots=True)
class Source:
    """Another domain, as far as one may see it.

    Attributes:
        read: Its numbers now: metric name to value. Foreign code: it may raise, hang, or return anything.
        metrics: What it declares about them.
        excerpt: Its latest notable things, short lines of untrusted text.
        explain: Its closer look at one of its metrics.
    """

    read: Callable[[], Mapping[str, Any]]
    metrics: Sequence[Metric] = ()
    excerpt: Callable[[], Sequence[str]] = tuple
    explain: Callable[[SensorState], Sequence[Evidence]] = lambda _sensor: ()


class Emit(Protocol):
    """Emits an event of the catalogue, as the instance's bus does."""

    def __call__(
        self, name: str, sender: str, measurements: Mapping[str, Any] | None = None, /, **metadata: Any
    ) -> None:
        """See `beamlens.telemetry.Bus.emit`."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the application gives.

    Attributes:
        sources: The domains that are watched now, by name; the one that asks is not among them.
        emit: The instance's events.
        instance: Its name.
        folder: Its state directory; ``None``: nothing outlives the process.
    """

    sources: Callable[[], Mapping[str, Source]]
    emit: Emit
    instance: str = "beamlens"
    folder: Path | None = None


@runtime_checkable
class WatchesOthers(Protocol):
    """A domain that wants to know its surroundings; told before its stores start."""

    def join(self, surroundings: Surroundings) -> None:
        """Take them."""
        ...
