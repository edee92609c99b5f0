"""Under load memory is bounded, the account is exact, nothing waits for ever, and nothing critical is lost for less."""

from __future__ import annotations

import os

import pytest

from beamlens.coordinator import Verdict
from tests.support.load import CAPACITY, fire, most, watch

ALERTS = int(os.environ.get("BEAMLENS_LOAD_ALERTS", "20000"))
HOURS = float(os.environ.get("BEAMLENS_WATCH_HOURS", "2"))
whole = {"BEAMLENS_LOAD_ALERTS", "BEAMLENS_WATCH_HOURS"} & set(os.environ)


@pytest.mark.timeout(300)
def test_a_burst_on_a_coordinator_ten_times_too_slow_with_restarts_in_between(capsys, caplog):
    caplog.set_level("CRITICAL")
    burst, most_alive = fire(ALERTS, watchers=32)
    counts = burst.inbox.counts()
    if whole:
        with capsys.disabled():
            print(f"\n{counts}; most queued {burst.most_queued}, most alerts alive {most_alive}")
    assert counts.fired == burst.offered >= burst.total
    assert counts.fired == counts.delivered + counts.merged + counts.dropped
    assert (counts.queued, burst.inexact) == (0, 0)
    # Each is told, and only once.
    assert burst.told[Verdict.MERGED] == counts.merged
    assert burst.told[Verdict.DROPPED] == counts.dropped > 0
    assert burst.lost["critical"] == 0
    assert burst.most_queued <= CAPACITY
    # What waits, what cools down, what boards remember, what is on its way to receivers and on 32 threads.
    assert most_alive <= 6 * CAPACITY
    assert burst.events["coordinator.started"] == 11


@pytest.mark.timeout(300)
def test_watching_continuously_with_summaries_takes_no_more_and_more_memory(capsys):
    client, summarised, sizes = watch(HOURS)
    eighth = len(sizes) // 8
    warm, end = most(sizes[eighth : 3 * eighth]), most(sizes[-2 * eighth :])
    if whole:
        with capsys.disabled():
            print(f"\n{client.calls} calls, {summarised} summaries, {warm}; {end}")
    assert summarised >= 2
    assert client.most_messages < 100
    # What grew with the time would be more than twice as much: the middles of the two lie at 2 and 7 eighths.
    grown = {name: count for name, count in end.objects.items() if count > 1.5 * warm.objects[name] + 20}
    assert grown == {}, {name: warm.objects[name] for name in grown}
    assert end.rss_mb < warm.rss_mb + 5
