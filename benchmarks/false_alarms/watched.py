"""`python -m benchmarks.false_alarms.watched`: a process that works, is watched, and is recorded; see `record`.

Its arguments: name of the workload, file to record to, seconds, seed, seconds that stand for a day.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import blinker

from beamlens import Beamlens, Domain
from beamlens.domains import DatabaseDomain, built_in_names
from benchmarks.false_alarms.record import ALERTS, EVERY
from benchmarks.false_alarms.shop import Shop
from benchmarks.false_alarms.workloads import WORKLOADS


def main() -> None:
    """Work until the time is over."""
    name, path, seconds, seed, day = sys.argv[1:]
    folder = Path(path).with_suffix(".shop")
    folder.mkdir()
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("shop").setLevel(logging.INFO)
    shop = Shop(folder, int(seed))
    heard = _listen(Path(path).with_suffix(ALERTS))
    lens = Beamlens.start(
        watchers=[one for one in built_in_names() if one != "database"] + [DatabaseDomain(shop.engine)]
    )

    def record() -> None:
        with Path(path).open("w") as file:
            _record(lens, file, float(seconds))
        heard.close()
        shop.close()
        shutil.rmtree(folder)
        os._exit(0)

    threading.Thread(target=record, name="recorder", daemon=True).start()
    WORKLOADS[name](shop, float(day))


def _listen(path: Path) -> TextIO:
    """Writes down each alert and insight, as the offline analyst makes them."""
    file, began = path.open("w"), time.monotonic()

    def write(**row: Any) -> None:
        file.write(json.dumps({"at": round(time.monotonic() - began, 1), **row}) + "\n")
        file.flush()

    def alert(_sender: object, *, alert: Any, **_metadata: object) -> None:
        write(kind="alert", domain=alert.watcher, severity=alert.severity, text=alert.observation)

    def insight(_sender: object, *, insight: Any, **_metadata: object) -> None:
        write(kind="insight", text=insight.summary)

    blinker.signal("beamlens.watcher.alert_fired").connect(alert, weak=False)
    blinker.signal("beamlens.coordinator.insight_produced").connect(insight, weak=False)
    return file


def _record(lens: Beamlens, file: TextIO, seconds: float) -> None:
    domains: dict[str, Domain] = {one.name: lens.domain(one.name) for one in lens.list_watchers()}
    del domains["anomaly"]
    due = began = time.monotonic()
    while due < began + seconds:
        row = {name: _numbers(domain) for name, domain in domains.items()}
        file.write(json.dumps(row) + "\n")
        due += EVERY
        time.sleep(max(0.0, due - time.monotonic()))


def _numbers(domain: Domain) -> dict[str, float]:
    found = domain.snapshot().items()
    return {name: value for name, value in found if isinstance(value, (int, float)) and not isinstance(value, bool)}


if __name__ == "__main__":
    main()
