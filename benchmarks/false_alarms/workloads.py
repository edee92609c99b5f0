"""Healthy processes that are busy in different ways."""

from __future__ import annotations

import json
import math
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.false_alarms.shop import Shop, log


def idle(_shop: Shop, _day: float) -> None:
    """Waits."""
    threading.Event().wait()


def load_waves(shop: Shop, day: float) -> None:
    """A day is `day` seconds of the recording; least at its beginning."""
    shop.serve(lambda t: 15 - 12 * math.cos(2 * math.pi * t / day))


def deploys(shop: Shop, _day: float) -> None:
    """Restarted by `record`; each process begins with empty caches."""
    shop.serve(lambda _t: 10)


def batch_jobs(shop: Shop, day: float) -> None:
    """A small job every hour, a large one twice a day."""

    def job(size: int) -> None:
        rows: list[dict[str, Any]] = [{"id": n, "value": shop.chance.random()} for n in range(size)]
        rows.sort(key=lambda row: row["value"])
        with tempfile.TemporaryFile() as file:
            for row in rows:
                file.write(json.dumps(row).encode())
        log.info("job of %d rows done", size)

    def jobs() -> None:
        hours = 0
        while True:
            time.sleep(day / 24)
            hours += 1
            job(200_000 if hours % 12 == 0 else 20_000)

    threading.Thread(target=jobs, name="jobs", daemon=True).start()
    shop.serve(lambda _t: 5)


class Node:
    """A part of a cycle, which only the collector frees."""

    def __init__(self, before: Node | None) -> None:
        self.before, self.itself = before, self


def gc_heavy(shop: Shop, _day: float) -> None:
    """Makes cycles all the time."""

    def churn() -> None:
        while True:
            nodes = None
            for _ in range(shop.chance.randrange(200, 5000)):
                nodes = Node(nodes)
            time.sleep(shop.chance.random() * 0.1)

    threading.Thread(target=churn, name="churn", daemon=True).start()
    shop.serve(lambda _t: 5)


WORKLOADS: dict[str, Callable[[Shop, float], None]] = {
    "idle": idle,
    "load waves": load_waves,
    "deploys": deploys,
    "batch jobs": batch_jobs,
    "gc-heavy": gc_heavy,
}
NAMES = tuple(WORKLOADS)
RESTARTS = {"deploys": 6}
"""Processes one after the other in a recording, where there is more than one."""
