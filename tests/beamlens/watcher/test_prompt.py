"""What a watcher's model is told about its pace."""

from __future__ import annotations

import pytest

from beamlens.domains import Domain
from beamlens.metrics import Metric
from beamlens.watcher.prompt import system_prompt
from beamlens.watcher.wait import LONGEST_MS
from tests.support.agents import Queue


class Unwatched(Domain):
    """A number that nobody set a threshold for."""

    name = "unwatched"
    metrics = (Metric("size"),)

    def snapshot(self):
        return {"size": 1}


@pytest.mark.parametrize(
    ("domain", "continuous", "pace"),
    [
        (Queue(), False, f"wait 8 hours ({LONGEST_MS} ms) when all is quiet"),
        (Unwatched(), False, "No sensor reads these metrics between looks"),
        (Queue(), True, "nothing wakes you, and the next look follows at once"),
        (Unwatched(), True, "nothing wakes you, and the next look follows at once"),
    ],
    ids=["with sensors", "without", "continuous", "continuous without"],
)
def test_the_pace_that_is_recommended_depends_on_who_else_watches(domain, continuous, pace):
    prompt = system_prompt(domain, continuous=continuous)
    assert pace in prompt
    assert [other in prompt for other in ("8 hours (", "15 minutes (", "30 seconds\n")].count(True) == 1
