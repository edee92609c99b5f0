"""A domain of one's own: an order queue that is not emptied. No key needed; ends by itself, in about 10 seconds.

    python examples/custom_domain.py

You will see an alert of the watcher ``orders``, and an insight that names the line which the domain found:
``custom_domain.py:57 in deliver``.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from beamlens import Beamlens, Domain, Evidence, Insight, Metric, Place, Strength, callback, telemetry
from beamlens.detect import SensorState

LONGEST = 60.0
queue: deque[int] = deque()
depot_is_open = threading.Event()
found = threading.Event()


class Orders(Domain):
    """Watches the order queue. A depth of some hundred is usual at noon; it is empty within a minute."""

    name = "orders"
    title = "Order queue"
    metrics = (Metric("queue_depth", unit="orders", high=1000, critical=100_000),)

    def snapshot(self) -> dict[str, Any]:
        return {"queue_depth": len(queue)}

    def evidence(self, sensor: SensorState) -> Sequence[Evidence]:
        if depot_is_open.is_set():
            return ()
        line = deliver.__code__.co_firstlineno + 2  # a domain that knows no line leaves `place` out
        return [
            Evidence(
                text="the depot is closed: whoever delivers waits for it",
                cause="closed_depot",
                strength=Strength.CONCLUSIVE,
                place=Place(file=__file__, line=line, function="deliver"),
            )
        ]

    @callback
    def oldest(self, limit: int = 10) -> list[int]:
        """The orders that wait longest, by number. Reads at most `limit` of them."""
        return [queue[index] for index in range(min(limit, len(queue)))]


def deliver() -> None:
    while not found.is_set():
        depot_is_open.wait()
        queue.popleft()


@telemetry.signal("coordinator.insight_produced").connect
def on_insight(_sender: str, *, insight: Insight, **_metadata: Any) -> None:
    print(f"{insight.confidence} confidence: {insight.root_cause_hypothesis}")
    found.set()


def main() -> None:
    logging.basicConfig(format="%(message)s")
    threading.Thread(target=deliver, name="deliverer", daemon=True).start()
    queue.extend(range(2000))  # noon
    with Beamlens.start(watchers=[Orders]):
        found.wait(LONGEST)


if __name__ == "__main__":
    main()
