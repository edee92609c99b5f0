"""A script that leaks, watched. No key needed; ends by itself, in about 15 seconds.

    python examples/plain_script.py

You will see an alert, then an insight, which name the line that fills the cache: ``plain_script.py:26 in render``.
At the end the report: what was looked at, and what is closest to a limit.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from beamlens import Beamlens, Insight, telemetry

LONGEST = 90.0
pages: dict[int, bytes] = {}
found = threading.Event()


def render(number: int) -> bytes:
    page = bytes(50_000)
    # The leak: nobody ever takes a page out again.
    pages[number] = page
    return page


# Receivers are held weakly, as everywhere in blinker: keep a name for each.
@telemetry.signal("coordinator.insight_produced").connect
def on_insight(_sender: str, *, insight: Insight, **_metadata: Any) -> None:
    if insight.root_cause_hypothesis:
        found.set()


def main() -> None:
    logging.basicConfig(format="%(message)s")  # alerts and insights are log records, too
    end = time.monotonic() + LONGEST
    with Beamlens.start(watchers=["runtime"]) as lens:
        number = 0
        while not found.wait(0.005) and time.monotonic() < end:
            render(number)
            number += 1
        print(lens.report())


if __name__ == "__main__":
    main()
