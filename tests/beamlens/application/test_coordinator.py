"""`Coordinator`: asked through a running instance."""

from __future__ import annotations

import asyncio
import threading

import pytest

from beamlens import (
    AlreadyAwaiting,
    Beamlens,
    Cancelled,
    ConfigError,
    Coordinator,
    DeadlineExceeded,
    NotStarted,
    UnknownDomain,
)
from beamlens.telemetry import signal
from beamlens.testing import ScriptedClient, tool
from beamlens_actors import Actor
from tests.beamlens.coordinator.test_inbox import alert


@pytest.fixture
def lens():
    with Beamlens.start(operators=["logger"]) as instance:
        yield instance


def done():
    return ScriptedClient([tool("done")])


def hanging():
    return ScriptedClient([ScriptedClient.HANG], repeat_last=True)


def test_a_run_is_answered_by_the_client_that_was_given_for_it(lens):
    client = done()
    result = Coordinator.run({"reason": "a check"}, client=client, instance=lens)
    assert (result.stopped_by, result.model, len(client.requests)) == ("done", "scripted", 1)
    assert Coordinator.run(domains=[], instance=lens).model == "offline"


def test_a_run_may_bring_a_registry_of_its_own(lens):
    registry = {"primary": "mine", "clients": [{"name": "mine", "provider": "offline"}]}
    assert Coordinator.run("a check", domains=[], client_registry=registry).model == "offline"


def test_the_reason_may_be_given_alone_and_any_key_reaches_the_model(lens):
    client = done()
    Coordinator.run("why so slow?", client=client)
    Coordinator.run({"reason": "x", "odd": {"a": 1}}, client=(other := done()))
    assert "why so slow?" in str(client.requests[0].messages)
    assert "odd: {\\'a\\': 1}" in str(other.requests[0].messages)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"context": 5}, ConfigError, "context must be a mapping"),
        ({"notifications": ["x"]}, ConfigError, r"notifications\[0\] must be an Alert, not str"),
        ({"domains": "runtime"}, ConfigError, "domains must be a list of names"),
        ({"domains": ["nope"]}, UnknownDomain, "unknown domain 'nope'; the domains are: allocator"),
        ({"max_iterations": 0}, ConfigError, "max_iterations must be a whole number of at least 1, not 0"),
        ({"deadline": -1}, ConfigError, "deadline must be seconds above 0, not -1"),
        ({"strategy": "nope"}, ConfigError, "the choices are: agent_loop, pipeline, or an object"),
        ({"strategy": object}, ConfigError, "does not exist"),
        ({"client_registry": {"primary": "x", "clients": []}}, ConfigError, "client"),
        ({"client": ScriptedClient([]), "client_registry": {}}, ConfigError, "not both"),
        ({"instance": "nope"}, NotStarted, "no Beamlens instance named 'nope' is running; running: beamlens"),
    ],
)
def test_bad_input_is_refused_before_anything_begins(lens, options, error, words):
    with pytest.raises(error, match=words):
        Coordinator.run(**options)
    assert Coordinator.status().runs == 0


def test_without_an_instance_it_says_how_to_start_one():
    with pytest.raises(NotStarted, match=r"Beamlens\.start"):
        Coordinator.run()


def test_limits_are_of_the_run(lens):
    client = ScriptedClient([tool("think", thought="hm")], repeat_last=True)
    assert Coordinator.run(client=client, max_iterations=2).stopped_by == "max_iterations"
    assert len(client.requests) == 2
    with pytest.raises(DeadlineExceeded):
        Coordinator.run(client=hanging(), deadline=0.05)


def test_domains_limit_whom_the_model_is_offered(lens):
    client = done()
    Coordinator.run(client=client, domains=["gc"])
    assert "\n- gc: " in client.requests[0].system
    assert "\n- logger: " not in client.requests[0].system


def test_alerts_that_are_known_are_correlated(lens):
    known = alert()
    fields = {"correlation_type": "temporal", "summary": "both", "confidence": "low"}
    client = ScriptedClient([tool("produce_insight", alert_ids=[known.id], **fields), tool("done")])
    result = Coordinator.run(notifications=[known], client=client)
    assert [insight.alert_ids for insight in result.insights] == [(known.id,)]
    assert lens.insights() == list(result.insights)


def test_a_caller_that_timed_out_loses_its_place_and_the_run_in_progress_goes_on(lens):
    release = threading.Event()

    def slow(_request):
        assert release.wait(10)
        return tool("done")

    first = Coordinator.run_async(client=(client := ScriptedClient([slow])))
    client.wait_for_calls(1)
    lost = done()
    with pytest.raises(TimeoutError, match="it is queued"):
        Coordinator.run(client=lost, timeout=0.01)
    with pytest.raises(TimeoutError, match="it is running"):
        first.result(0.01)
    release.set()
    assert first.result(10).stopped_by == "done"
    assert Coordinator.run(client=done()).stopped_by == "done"
    assert lost.requests == []


def test_two_may_not_wait_for_one_run(lens):
    client = hanging()
    handle = Coordinator.run_async(client=client)
    client.wait_for_calls(1)

    def waits():
        with pytest.raises(Cancelled):
            handle.result()

    waiting = threading.Thread(target=waits)
    waiting.start()
    while not handle._awaited:
        pass
    with pytest.raises(AlreadyAwaiting):
        handle.result()
    handle.cancel()
    waiting.join(10)
    assert not waiting.is_alive()


def test_cancel_answers_the_caller_and_does_nothing_when_idle(lens):
    assert Coordinator.cancel() is False
    client = hanging()
    handle = Coordinator.run_async(client=client)
    client.wait_for_calls(1)
    assert (Coordinator.status().running, Coordinator.cancel()) == (True, True)
    with pytest.raises(Cancelled):
        handle.result(10)


def test_whoever_asked_is_called_back_once_it_has_ended(lens):
    ended = []
    handle = Coordinator.run_async(client=done(), on_complete=lambda one: ended.append(one.report.stopped_by))
    handle.result(10)
    assert ended == ["done"]


def test_asyncio_waits_without_blocking_and_a_cancelled_task_cancels_the_run(lens):
    client = hanging()

    async def asks():
        assert (await Coordinator.arun("?", client=done())).stopped_by == "done"
        with pytest.raises(TimeoutError):
            await Coordinator.arun("?", client=ScriptedClient([ScriptedClient.HANG]), timeout=0.01, deadline=0.2)
        task = asyncio.ensure_future(Coordinator.arun("?", client=client))
        await asyncio.to_thread(client.wait_for_calls, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asks())
    assert Coordinator.run(client=done()).stopped_by == "done"


def test_an_actor_that_asks_and_is_killed_takes_its_run_along(lens):
    client = hanging()
    told = threading.Event()
    down = signal("coordinator.caller_down")

    def receiver(_sender, **_kw):
        told.set()

    class Asks(Actor):
        def on_receive(self, message):
            Coordinator.run("?", client=client)

    ref = Asks.start()
    with down.connected_to(receiver):
        ref.tell("go")
        client.wait_for_calls(1)
        ref.kill()
        assert told.wait(10)
    assert Coordinator.run(client=done()).stopped_by == "done"


def test_stopping_the_instance_answers_everybody():
    client = hanging()
    with Beamlens.start(operators=[]) as lens:
        running = Coordinator.run_async(client=client, instance=lens)
        queued = Coordinator.run_async(client=client, instance=lens)
        client.wait_for_calls(1)
    for handle in (running, queued):
        with pytest.raises(Cancelled):
            handle.result(10)
