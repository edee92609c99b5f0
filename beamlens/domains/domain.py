"""The contract of a domain: what is watched, and what may be asked about it."""

from __future__ import annotations

import inspect
import os
import platform
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from beamlens.detect import Sensor, SensorState, Threshold
from beamlens.domains.arguments import guarded
from beamlens.evidence import Evidence
from beamlens.metrics import Metric

if TYPE_CHECKING:
    from beamlens_supervision import ChildSpec

F = TypeVar("F", bound=Callable[..., Any])
_loaded_at = datetime.now(UTC)


def callback(function: F) -> F:
    """Mark a domain's method as a callback; Lua sees it as ``<prefix>_<method>``."""
    function.__beamlens_callback__ = True  # type: ignore[attr-defined]
    return function


class Domain:
    """Something worth watching: subclass it, name it, return its numbers.

    Only ``name`` and ``snapshot`` are required. The docstring of the subclass becomes its prompt, ``metrics`` with
    thresholds become sensors, and methods marked ``@callback`` become Lua functions.

    Attributes:
        name: Its name, lower case; also the prefix of its callbacks.
        title: Its name for people; defaults to ``name``.
        metrics: What ``snapshot()`` returns, declared.
        sensors: Further sensors beside the thresholds of ``metrics``.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    metrics: ClassVar[tuple[Metric, ...]] = ()
    sensors: ClassVar[tuple[Sensor, ...]] = ()

    def snapshot(self) -> dict[str, Any]:
        """The domain's numbers now: metric name to JSON value.

        A metric that cannot be had is ``None``, with its reason under ``"_unavailable": {name: why}``. Runs on a task
        thread of Beamlens, never on a host thread; should take well under 10 ms.
        """
        raise NotImplementedError

    def sense(self) -> Mapping[str, float | None]:
        """What the sensors read, every one to ten seconds: the numbers of ``snapshot()`` or fewer."""
        return {
            name: float(value)
            for name, value in self.snapshot().items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }

    def all_sensors(self) -> tuple[Sensor, ...]:
        """The declared sensors, and one threshold sensor for each metric that has thresholds."""
        thresholds = tuple(
            Sensor(
                name=f"{metric.name}_threshold",
                metric=metric.name,
                detector=partial(Threshold, metric),
                anomaly_type=f"{metric.name}_{'low' if metric.high is None and metric.critical is None else 'high'}",
            )
            for metric in self.metrics
            if not (metric.high is None and metric.critical is None and metric.low is None)
        )
        return (*self.sensors, *thresholds)

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:  # noqa: ARG002 - for subclasses
        """Look closer: why did this sensor fire?

        Called on a task thread while the sensor is active, before anybody judges. May take some seconds, but must not
        stall other threads for more than 10 ms; is given up after 30 seconds. The default knows nothing.

        Args:
            sensor: The active sensor, one of ``all_sensors()``.
        """
        return ()

    def excerpt(self, limit: int = 5) -> list[str]:  # noqa: ARG002 - for subclasses
        """The latest notable things as short lines, for a prompt. Outside text: it is fenced there. None by default."""
        return []

    def children(self) -> Sequence[ChildSpec]:
        """Child specs of the stores that it needs, started with the instance and before its watcher."""
        return ()

    def close(self) -> None:
        """Give back what was installed in the host outside of ``children()``."""

    def system_prompt(self) -> str:
        """What the model is told about this domain: the class docstring and the metrics."""
        lines = [inspect.getdoc(type(self)) or self.title or self.name]
        if self.metrics:
            lines += ["", "Metrics:", *(f"- {metric.describe()}" for metric in self.metrics)]
        return "\n".join(lines)

    def callbacks(self) -> dict[str, Callable[..., Any]]:
        """Lua name to function, base callbacks included; each answers bad arguments instead of raising."""
        found: dict[str, Callable[..., Any]] = {
            "get_current_time": guarded(get_current_time),
            "get_node_info": guarded(get_node_info),
        }
        for attribute in dir(type(self)):
            if getattr(getattr(type(self), attribute, None), "__beamlens_callback__", False):
                found[f"{self.name}_{attribute}"] = guarded(getattr(self, attribute))
        return found

    def callback_docs(self) -> str:
        """What the model reads about the callbacks, made from signatures and docstrings."""
        return "\n\n".join(_document(name, function) for name, function in self.callbacks().items())


def _document(name: str, function: Callable[..., Any]) -> str:
    parameters = ", ".join(
        parameter.name if parameter.default is inspect.Parameter.empty else f"{parameter.name}={parameter.default!r}"
        for parameter in inspect.signature(function).parameters.values()
    )
    return f"### {name}({parameters})\n{inspect.getdoc(function) or ''}".rstrip()


def get_current_time() -> dict[str, Any]:
    """The current time: timestamp (ISO 8601, UTC), unix_ms."""
    now = datetime.now(UTC)
    return {"timestamp": now.isoformat(), "unix_ms": int(now.timestamp() * 1000)}


def get_node_info() -> dict[str, Any]:
    """Where this is: node (host name), pid, uptime_seconds (since Beamlens was loaded), os_type, os_name, python."""
    return {
        "node": socket.gethostname(),
        "pid": os.getpid(),
        "uptime_seconds": round((datetime.now(UTC) - _loaded_at).total_seconds(), 1),
        "os_type": os.name,
        "os_name": platform.system(),
        "python": platform.python_version(),
    }
