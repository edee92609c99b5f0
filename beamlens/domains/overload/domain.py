"""The `overload` domain: queues that grow faster than they drain."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from beamlens.detect import Sensor, SensorState
from beamlens.domains.arguments import clamp
from beamlens.domains.domain import Domain, callback
from beamlens.domains.overload import views, why
from beamlens.domains.overload.queues import Paced, Queues
from beamlens.domains.overload.watch import Told, Tracked, Watch
from beamlens.evidence import Evidence
from beamlens.metrics import Metric
from beamlens.probes import executors

_MOST_EXPLAINED = 2


class OverloadDomain(Domain):
    """What waits in this process: mailboxes of actors, executors' queues of work, queues, asyncio's tasks.

    What counts is growth that lasts, measured over at least twenty seconds: a queue grows when more is put than taken.
    A deep queue that does not grow is a backlog, which drains or is meant; bursts that drain are healthy, and so is
    a bounded queue that is full while its producers wait. The time to overflow is known only for a queue that grows
    and has a bound. The remedy is where the consumers are: waiting at a line (a dependency, a lock) asks for another
    one than burning the processor. With nothing growing, wait or finish.
    """

    name: ClassVar[str] = "overload"
    title: ClassVar[str] = "Queues and overload"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("overload_severity", description="none, transient, sustained (a minute), critical (runs full)"),
        Metric("overload_type", description="none, queue_growth, queue_overflow (items are lost), cascade"),
        Metric("bottleneck_location", description="the queue that grows, or runs full first"),
        Metric("queues", "queues", description="that are found", direction="none"),
        Metric("growing_queues", "queues", description="that grow faster than they drain", direction="up", matters=1),
        Metric("affected_processes", "queues", description="with more than 100 items", direction="up", matters=1),
        Metric("total_queue_depth", "items", description="in all queues", direction="up", matters=500),
        Metric("max_queue_depth", "items", description="in the deepest one", direction="up", matters=100),
        Metric("recommended_action", description="what to look at first"),
        Metric(
            "time_to_overflow_s", "s", description="until the first bound is reached, as measured", direction="none"
        ),
        Metric("left_out", "queues", description="not looked at, because there are more than 500", direction="none"),
    )

    def __init__(self, *, queues: Mapping[str, Any] | None = None) -> None:
        """Make one.

        Args:
            queues: Queues of yours by name; others are found by themselves. They are held weakly.
        """
        self._lock = threading.Lock()
        self._queues = Queues(queues)
        self._paced = Paced(self._queues)
        self._watch = Watch()
        self._place: dict[int, str] = {}

    def all_sensors(self) -> tuple[Sensor, ...]:
        """Growth that lasts, and items that are lost."""
        return (
            Sensor("queue_growth", "growing_queues", partial(Told, self._watch.growth_reading), "queue_overload"),
            Sensor("queue_drops", "dropping_queues", partial(Told, self._watch.drop_reading), "queue_overflow"),
        )

    def _update(self) -> None:
        with self._lock:
            if self._paced.look():
                self._watch.update(self._paced.at, self._paced.latest)

    def snapshot(self) -> dict[str, Any]:
        """All metrics; costs as `sense`."""
        self._update()
        growing, looks = self._watch.growing, self._paced.latest
        overflow = min((left for one in growing if (left := one.to_overflow) is not None), default=None)
        data: dict[str, Any] = {
            "overload_severity": views.severity(self._watch, self._paced.at),
            "overload_type": views.kind(self._watch),
            "bottleneck_location": self._bottleneck(growing),
            "queues": len(looks),
            "growing_queues": len(growing),
            "affected_processes": sum(look.depth > views.AFFECTED for look in looks),
            "total_queue_depth": sum(look.depth for look in looks),
            "max_queue_depth": max((look.depth for look in looks), default=0),
            "recommended_action": views.action(self._watch),
            "time_to_overflow_s": None if overflow is None else round(overflow, 1),
            "left_out": self._queues.left_out,
        }
        missing = {}
        if overflow is None:
            missing["time_to_overflow_s"] = (
                "no queue that grows has a bound" if growing else "no queue grows: there is nothing to foretell"
            )
        if data["bottleneck_location"] is None:
            missing["bottleneck_location"] = "no queue grows"
        return {**data, "_unavailable": missing} if missing else data

    def _bottleneck(self, growing: Sequence[Tracked]) -> str | None:
        if not growing:
            return None
        place = self._place.get(growing[0].look.key)
        return growing[0].look.name + (f": {place}" if place else "")

    def sense(self) -> Mapping[str, float | None]:
        """Looks at all queues: 10 us a thread, 3 us an actor or task, for a hundredth of the time at most.

        Every five minutes a walk over the heap beside it, 0.2 s in slices, for queues that nobody has waited in.
        """
        self._update()
        return {
            "growing_queues": float(len(self._watch.growing)),
            "dropping_queues": float(len(self._watch.dropping)),
            "total_queue_depth": float(sum(look.depth for look in self._paced.latest)),
        }

    def evidence(self, sensor: SensorState, /) -> Sequence[Evidence]:
        """What the consumers of the queues in question do, and who puts; looks at stacks for 1.5 s."""
        chosen = self._watch.dropping if sensor.name == "queue_drops" else self._watch.growing
        return self._explain(chosen[:_MOST_EXPLAINED])

    def _explain(self, chosen: Sequence[Tracked]) -> list[Evidence]:
        if not chosen:
            return []
        with self._lock:
            before = {look.key: look for look in self._queues.look()}
        seen = why.look_closer([before.get(one.look.key, one.look) for one in chosen])
        with self._lock:
            after = {look.key: look for look in self._queues.look()}
        found: list[Evidence] = []
        for one in chosen:
            key = one.look.key
            pieces = why.explain(one, seen, before.get(key, one.look), after.get(key), partial(executors.content, key))
            self._place[key] = next((str(piece.place) for piece in pieces if piece.place), "")
            found += pieces
        return found

    @callback
    def state(self) -> dict[str, Any]:
        """All metrics, and the queues that grow with their measured rates; costs as the snapshot."""
        snapshot = self.snapshot()
        return {**snapshot, "growing": [views.row(one, self._paced.at) for one in self._watch.growing[:50]]}

    @callback
    def queue_analysis(self, limit: int = 10) -> dict[str, Any]:
        """The deepest queues (at most 50), with p50 to p100 of all depths and growth as measured; as the snapshot."""
        self._update()
        depths = [look.depth for look in self._paced.latest]
        followed = self._watch.tracked.copy()
        found = (followed.get(look.key) for look in self._paced.latest)
        rows = [views.row(one, self._paced.at) for one in found if one is not None]
        return {"queues": len(depths), **views.percentiles(depths), "deepest": rows[: clamp(limit)]}

    @callback
    def bottleneck(self) -> dict[str, Any]:
        """The queue that grows or runs full first, and what its consumers do; looks for 1.5 s if one grows."""
        self._update()
        growing = self._watch.growing[:1]
        if not growing:
            return {"found": False, "reason": "no queue grows", "queue": None, "place": None, "facts": []}
        pieces = self._explain(growing)
        place = next((str(piece.place) for piece in pieces if piece.place), None)
        return {
            "found": True,
            "queue": views.row(growing[0], self._paced.at),
            "place": place,
            "facts": [piece.text for piece in pieces],
            "doing": views.doing(pieces),
        }

    @callback
    def cascade_detection(self) -> dict[str, Any]:
        """Queues that grow or are full, in the order in which it began; several at once: a cascade. As the snapshot."""
        self._update()
        return views.cascade(self._watch, self._paced.at)

    @callback
    def remediation_plan(self) -> dict[str, Any]:
        """What a person may do about what grows, as text; nothing is done. Looks for 1.5 s if a queue grows."""
        self._update()
        growing = self._watch.growing[:1]
        return views.plan(self._watch, self._explain(growing) if growing else [])
