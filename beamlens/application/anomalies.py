"""Shows a domain that watches others what there is, and passes on its wish for a run of the Coordinator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamlens.coordinator import RunRequest
from beamlens.domains.sources import Source, Surroundings
from beamlens_actors import ActorError

if TYPE_CHECKING:
    from beamlens.application.specs import Watched
    from beamlens.detect import SensorState
    from beamlens.domains import Domain
    from beamlens.evidence import Evidence
    from beamlens.telemetry import Bus
    from beamlens_actors import Registry

ASKS = "anomaly.detector.run_requested"


def surroundings(
    own: Domain, watched: Callable[[], Sequence[Watched]], bus: Bus, instance: str, folder: Path | None
) -> Surroundings:
    """What `own` may see: every other domain that is watched at the moment it looks."""

    def sources() -> Mapping[str, Source]:
        return {one.name: source(one.domain) for one in watched() if one.domain is not own}

    return Surroundings(sources, bus.emit, instance, folder)


def source(domain: Domain) -> Source:
    """A domain, as another one may see it."""
    return Source(domain.snapshot, domain.metrics, domain.excerpt, partial(_explain, domain))


def _explain(domain: Domain, state: SensorState) -> Sequence[Evidence]:
    """The domain's closer look, where it has a sensor on that metric."""
    for sensor in domain.all_sensors():
        if sensor.metric == state.metric:
            named = dataclasses.replace(state, name=sensor.name, anomaly_type=sensor.anomaly_type or sensor.name)
            return domain.evidence(named)
    return ()


def connect(bus: Bus, agents: Registry) -> Callable[[str, str, Mapping[str, Any], Mapping[str, Any]], None]:
    """A listener of the bus: turns the wish for a run into a message to the Coordinator, and tells what came of it."""

    def heard(name: str, sender: str, _measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        if name != ASKS:
            return
        asked = metadata["anomalies"]
        failure = _ask(agents, RunRequest(sender, metadata["reason"], asked))
        if failure:
            bus.emit("anomaly.detector.auto_trigger_failed", sender, reason=failure)
        else:
            bus.emit("anomaly.detector.auto_trigger_started", sender, anomaly_summary=asked, trust="untrusted")

    return heard


def _ask(agents: Registry, request: RunRequest) -> str:
    """Why the Coordinator could not be told; empty: it was."""
    ref = agents.lookup(("coordinator", "coordinator"))
    if ref is None:
        return "the Coordinator is being restarted"
    try:
        ref.tell(request)
    except ActorError as error:
        return str(error) or type(error).__name__
    return ""
