"""What keeps the watch itself from working is a log record."""

from __future__ import annotations

import pytest

from beamlens import Beamlens, Domain
from beamlens.application.trouble_log import TroubleLog
from beamlens.errors import LLMError
from beamlens.testing import ScriptedClient
from beamlens_actors.testing import FakeClock
from tests.support.threads import until


class Broken(Domain):
    """A pool that is gone."""

    name = "pool"

    def snapshot(self):
        raise ZeroDivisionError("the pool is gone")


def warnings(caplog):
    return [one.getMessage() for one in caplog.records if (one.name, one.levelname) == ("beamlens", "WARNING")]


def test_a_domain_whose_numbers_cannot_be_read_is_told(caplog):
    with Beamlens.start(watchers=[Broken], operators=[]):
        until(lambda: warnings(caplog))
    assert warnings(caplog) == ["watcher pool: its numbers cannot be read: ZeroDivisionError: the pool is gone"]


def test_a_model_that_cannot_be_asked_is_told(caplog):
    client = ScriptedClient([LLMError("no route to the provider", kind="authentication", retryable=False)])
    with Beamlens.start(watchers=["logger"], operators=[], client_registry=client):
        until(lambda: warnings(caplog))
    (text,) = warnings(caplog)
    assert text.startswith("watcher logger: its model cannot be asked, and the offline analyst takes its place: ")
    assert "no route to the provider" in text


LOOK = {"sensor": "depth_growth", "reason": "KeyError: 'x'"}


@pytest.mark.parametrize(
    ("name", "metadata", "text"),
    [
        ("operator.evidence_failed", LOOK, "its closer look at depth_growth failed: KeyError: 'x'"),
        ("coordinator.llm_error", {"reason": "r", "will_retry": True}, None),
        ("watcher.wait", {"reason": "quiet"}, None),
        ("agent.llm_error", {"reason": "r", "will_retry": False}, None),
    ],
)
def test_what_is_told(caplog, name, metadata, text):
    TroubleLog().listen(name, "ets", {}, metadata)
    assert warnings(caplog) == ([] if text is None else [f"{name.partition('.')[0]} ets: {text}"])


def test_the_coordinator_is_named_once(caplog):
    TroubleLog().listen("coordinator.llm_error", "coordinator", {}, {"reason": "r", "will_retry": False})
    assert warnings(caplog) == [
        "coordinator: its model cannot be asked, and the offline analyst takes its place: r",
    ]


def test_the_same_trouble_of_an_agent_is_told_once_an_hour_with_what_was_left_out(caplog):
    log = TroubleLog()
    with FakeClock() as clock:
        for _ in range(3):
            log.listen("watcher.evidence_failed", "ets", {}, LOOK)
        log.listen("watcher.evidence_failed", "gc", {}, LOOK)
        clock.advance(3600.0)
        log.listen("watcher.evidence_failed", "ets", {}, LOOK)
    failed = "its closer look at depth_growth failed: KeyError: 'x'"
    assert warnings(caplog) == [
        f"watcher ets: {failed}",
        f"watcher gc: {failed}",
        f"watcher ets: {failed} (2 more since that was last said)",
    ]
