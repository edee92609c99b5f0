"""`Operator`: asking an operator of a running instance, and every way to ask wrongly."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

import beamlens
from beamlens import (
    Beamlens,
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    Domain,
    NotStarted,
    Operator,
    OperatorNotStarted,
    UnknownDomain,
    WatcherSpec,
    registry,
)
from beamlens.findings import status
from beamlens.probes import logtap
from beamlens.testing import ScriptedClient, tool
from beamlens_actors import Actor
from beamlens_actors.testing import FakeClock
from tests.support.agents import Queue
from tests.support.operators import DONE, LOOK, fire, operating, pass_time

WAIT = tool("wait", ms=3_600_000)


class Orders(Domain):
    """Watches orders."""

    name = "orders"

    def snapshot(self):
        return {"count": 1}


def offline_soon():
    """Answers at once, for domains that nobody watches."""
    return ScriptedClient([LOOK, DONE], repeat_last=True)


def test_a_run_by_name_returns_what_it_found():
    client = ScriptedClient([LOOK, fire(), DONE])
    with Beamlens.start(operators=[Queue], client_registry=client):
        (alert,) = Operator.run("queue", {"reason": "slow"})
        assert Operator.status("queue").runs == 1
    assert (alert.watcher, alert.anomaly_type, alert.instance) == ("queue", "deep_queue", "beamlens")


@pytest.mark.parametrize("whom", [lambda: "queue", lambda: Queue, Queue, lambda: registry.lookup("queue")])
def test_it_may_be_named_by_name_class_domain_or_ref(whom):
    with Beamlens.start(operators=[Queue], client_registry=ScriptedClient([DONE])):
        assert Operator.run(whom()) == []


def test_findings_do_not_reach_the_coordinator():
    with Beamlens.start(operators=[Queue], client_registry=ScriptedClient([LOOK, fire(), DONE])) as lens:
        assert len(Operator.run("queue")) == 1
        assert lens.status().inbox.fired == 0


def test_each_option_is_of_its_run_only():
    own = ScriptedClient([DONE], model="own")
    with Beamlens.start(operators=[Queue], client_registry=own):
        one = Operator.run_async(
            "queue", client=ScriptedClient([LOOK], repeat_last=True, model="one"), max_iterations=3
        )
        two = Operator.run_async("queue", client_registry=ScriptedClient([DONE], model="two"))
        three = Operator.run_async("queue")
        assert [handle.result(10) for handle in (one, two, three)] == [[], [], []]
    assert [(h.report.model, h.report.iterations) for h in (one, two, three)] == [("one", 3), ("two", 1), ("own", 1)]


def test_a_client_registry_of_a_run_is_closed_after_it_and_a_client_is_not():
    class Closing(ScriptedClient):
        closed = 0

        def close(self):
            self.closed += 1

    own, given = Closing([DONE]), Closing([DONE])
    with Beamlens.start(operators=[Queue], client_registry=ScriptedClient([])):
        Operator.run("queue", client_registry=own)
        Operator.run("queue", client=given)
    assert (own.closed, given.closed) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        ({"client_registry": {"primary": "x"}}, "client_registry", "clients"),
        ({"client_registry": 3}, "client_registry", "must be a mapping"),
        ({"client": {"primary": "x"}}, "client", "given as client_registry"),
        ({"client": "fast"}, "client", "client must be a client, with complete() and model, not 'fast'"),
        ({"client": ScriptedClient([]), "client_registry": ScriptedClient([])}, "client", "not both"),
        ({"context": 3}, "context", 'a mapping such as {"reason": "..."}, or the reason itself'),
        ({"max_iterations": 0}, "max_iterations", "above 0"),
        ({"deadline": -1}, "deadline", "above 0"),
        ({"timeout": 0}, "timeout", "seconds above 0"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_begins(arguments, field, words):
    client = ScriptedClient([])
    with Beamlens.start(operators=[Queue], client_registry=client):
        with pytest.raises(ConfigError) as caught:
            Operator.run("queue", **arguments)
        assert Operator.status("queue").runs == 0
    assert words in str(caught.value)
    assert caught.value.field.startswith(field)
    assert client.requests == []


def test_without_an_instance_nobody_can_be_asked():
    with pytest.raises(NotStarted, match="no Beamlens instance is running"):
        Operator.run("runtime")


def test_a_domain_that_does_not_exist_is_named_with_those_that_do():
    with Beamlens.start(), pytest.raises(UnknownDomain, match="unknown domain 'nope'; the domains are: allocator"):
        Operator.run("nope")


def test_a_domain_that_was_not_configured_is_an_error_that_says_what_to_add():
    with Beamlens.start(operators=["ets"]):
        with pytest.raises(OperatorNotStarted, match=r'operators=\[..., "gc"\] to Beamlens.start; running: ets'):
            Operator.run("gc")
        with pytest.raises(OperatorNotStarted, match=r'watchers=\[{"name": "database", "engine": engine}\]'):
            Operator.run("database")
        with pytest.raises(OperatorNotStarted, match=r"operators=\[..., Orders\]"):
            Operator.run(Orders)


def test_the_ref_of_something_else_is_refused():
    class Other(Actor):
        pass

    ref = Other.start()
    with pytest.raises(ConfigError, match="is no operator but a Other"):
        Operator.run(ref)
    ref.stop()


def test_a_question_must_be_a_text():
    with Beamlens.start(operators=[Queue]), pytest.raises(ConfigError, match="prompt must be a text"):
        Operator.message("queue", "  ")


@pytest.mark.parametrize(
    ("operators", "words"),
    [
        ([Orders, "orders"], "orders"),
        ([Orders, Orders()], "used twice"),
        ([3], "unknown domain 3"),
        ([Domain], "no name"),
    ],
)
def test_operators_that_are_wrong_are_refused_at_start(operators, words):
    with pytest.raises(ConfigError, match=words):
        Beamlens.start(operators=operators)


def test_the_operators_of_an_instance_include_what_is_watched():
    with Beamlens.start(watchers=[Queue], client_registry=ScriptedClient([WAIT], repeat_last=True)) as lens:
        assert "queue" in {one.name for one in lens.list_operators()}


def test_an_operator_shares_the_domain_of_the_watcher_of_its_name():
    domain = Queue()

    def watch(request):
        return WAIT if "Why you look now" in str(request.messages) else LOOK if len(request.messages) == 1 else DONE

    with Beamlens.start(watchers=[domain], client_registry=ScriptedClient([watch], repeat_last=True)):
        domain.depth = 7
        handle = Operator.run_async("queue")
        handle.result(10)
    (snapshot,) = handle.report.snapshots
    assert snapshot.data == {"depth": 7}


def test_a_hook_of_the_host_is_installed_for_the_run_and_taken_out_after_it():
    seen = []

    def look(request):
        seen.append(logtap.installed())
        return DONE

    with Beamlens.start(operators=["logger"], client_registry=ScriptedClient([look])):
        assert not logtap.installed()
        Operator.run("logger")
        assert not logtap.installed()
    assert seen == [True]


def test_the_instance_ends_in_the_middle_of_a_run_and_takes_everything_out():
    client = ScriptedClient([ScriptedClient.HANG], repeat_last=True)
    with Beamlens.start(operators=["logger"], client_registry=client) as lens:
        running, queued = (Operator.run_async("logger") for _ in range(2))
        client.wait_for_calls(1)
        assert "logger.stores" in lens.tree()
        lens.stop()
        assert not logtap.installed()
    for handle in (running, queued):
        with pytest.raises(Cancelled, match="the operator logger ended"):
            handle.result(5)


def test_a_timeout_withdraws_the_caller_a_queued_run_loses_its_place_and_one_in_progress_goes_on():
    go, caught = threading.Event(), []

    def hold(_request):
        assert go.wait(20)
        return DONE

    client = ScriptedClient([hold, hold], repeat_last=True)
    with FakeClock() as clock, Beamlens.start(operators=[Queue], client_registry=client):

        def ask():
            try:
                Operator.run("queue", timeout=5.0)
            except TimeoutError as error:
                caught.append(str(error))

        threads = []
        for _ in range(2):
            threads.append(threading.Thread(target=ask))
            threads[-1].start()
        client.wait_for_calls(1)
        while any(thread.is_alive() for thread in threads):
            clock.advance(1.0)
            threads[0].join(0.02)
        assert (Operator.status("queue").running, Operator.status("queue").queued) == (True, 0)
        go.set()
        pass_time(clock, Operator.run_async("queue"))
        assert Operator.status("queue").runs == 2
    assert sorted(text.rpartition(" ")[2] for text in caught) == ["queued", "running"]


def test_a_deadline_ends_the_run():
    client = ScriptedClient([ScriptedClient.HANG])
    with FakeClock() as clock, Beamlens.start(operators=[Queue], client_registry=client):
        handle = Operator.run_async("queue", deadline=3.0)
        client.wait_for_calls(1)
        pass_time(clock, handle)
        with pytest.raises(DeadlineExceeded):
            handle.result()


def test_a_caller_whose_actor_ended_loses_its_place():
    go = threading.Event()

    def hold(_request):
        assert go.wait(20)
        return DONE

    class Asker(Actor):
        def on_receive(self, _message):
            Operator.run("queue", {"reason": "the asker"})

    client = ScriptedClient([hold, DONE])
    with Beamlens.start(operators=[Queue], client_registry=client):
        first = Operator.run_async("queue")
        client.wait_for_calls(1)
        asker = Asker.start()
        asker.tell("ask")
        while Operator.status("queue").queued != 1:
            client.wait_for_calls(1)
        asker.kill()
        last = Operator.run_async("queue", {"reason": "the last"})
        go.set()
        assert (first.result(10), last.result(10)) == ([], [])
        assert Operator.status("queue").runs == 2
    assert "the last" in str(client.requests[1].messages)


def test_asyncio_goes_on_while_a_run_is_waited_for():
    go, ticks = threading.Event(), []

    def hold(_request):
        assert go.wait(20)
        return fire()(_request)

    async def tick():
        for number in range(3):
            ticks.append(number)
            await asyncio.sleep(0)
        go.set()

    async def main():
        found, _ = await asyncio.gather(Operator.arun("queue", {"reason": "slow"}), tick())
        return found

    with Beamlens.start(operators=[Queue], client_registry=ScriptedClient([LOOK, hold, DONE])):
        (alert,) = asyncio.run(main())
    assert alert.anomaly_type == "deep_queue"
    assert ticks == [0, 1, 2]


def test_an_asyncio_task_that_is_cancelled_cancels_its_run():
    client = ScriptedClient([ScriptedClient.HANG, DONE])

    async def main():
        task = asyncio.create_task(Operator.arun("queue"))
        await asyncio.to_thread(client.wait_for_calls, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with Beamlens.start(operators=[Queue], client_registry=client):
        asyncio.run(main())
        assert Operator.run("queue") == []
        assert Operator.status("queue").runs == 2


def test_an_asyncio_timeout_withdraws_the_caller_and_the_run_goes_on():
    go = threading.Event()

    def hold(_request):
        assert go.wait(20)
        return DONE

    client = ScriptedClient([hold, DONE])

    async def main():
        with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
            await Operator.arun("queue", timeout=0.05)

    with Beamlens.start(operators=[Queue], client_registry=client):
        asyncio.run(main())
        go.set()
        assert Operator.run("queue") == []
        assert Operator.status("queue").runs == 2


def test_a_reason_may_be_given_alone():
    client = ScriptedClient([DONE])
    with Beamlens.start(operators=[Queue], client_registry=client):
        Operator.run("queue", "high memory")
    assert "Reason: high memory" in str(client.requests[0].messages)


def test_an_actor_that_asks_and_ends_takes_its_run_along():
    class Asker(Actor):
        def on_receive(self, _message):
            Operator.run("queue")

    client = ScriptedClient([ScriptedClient.HANG, DONE])
    with Beamlens.start(operators=[Queue], client_registry=client):
        asker = Asker.start()
        asker.tell("ask")
        client.wait_for_calls(1)
        asker.kill()
        assert Operator.run("queue") == []
        assert Operator.status("queue").runs == 2


def test_a_question_is_answered():
    answer = tool("answer", summary="fine")
    with Beamlens.start(operators=[Queue], client_registry=ScriptedClient([answer])):
        assert Operator.message("queue", "how is it?").response.summary == "fine"


def test_a_question_that_is_not_answered_in_time_is_a_timeout():
    client = ScriptedClient([ScriptedClient.HANG])
    with Beamlens.start(operators=[Queue], client_registry=client):
        with pytest.raises(TimeoutError, match=r"queue did not answer within 0\.2 s"):
            Operator.message("queue", "how is it?", timeout=0.2)
        assert not Operator.status("queue").running


def test_one_that_was_stopped_is_not_started_again():
    with Beamlens.start(operators=[Queue, "ets"], client_registry=ScriptedClient([ScriptedClient.HANG])) as lens:
        handle = Operator.run_async("queue")
        Operator.stop("queue")
        with pytest.raises(Cancelled):
            handle.result(5)
        with pytest.raises(OperatorNotStarted, match="was stopped, or is being restarted; running: ets"):
            Operator.run("queue")
        with pytest.raises(OperatorNotStarted):
            Operator.stop("queue")
        assert [one.name for one in lens.list_operators()] == ["ets"]


def test_one_that_was_stopped_by_its_ref_is_not_started_again_either():
    with Beamlens.start(operators=[Queue, "ets"]) as lens:
        Operator.stop(registry.lookup("queue"))
        assert [one.name for one in lens.list_operators()] == ["ets"]


def test_one_on_its_own_is_stopped_by_its_ref():
    with operating(ScriptedClient([])) as one:
        Operator.stop(one.ref)
        assert not one.ref.is_alive()
        with pytest.raises(OperatorNotStarted, match="has ended"):
            Operator.run(one.ref)


def test_one_that_was_killed_is_started_again():
    started, twice = threading.Semaphore(0), []
    import blinker

    def on_started(sender, **_keywords):
        twice.append(sender)
        started.release()

    blinker.signal("beamlens.operator.started").connect(on_started)
    with Beamlens.start(operators=[Queue], client_registry=ScriptedClient([DONE])):
        registry.lookup("queue").kill()
        for _ in range(2):
            assert started.acquire(timeout=10)
        assert Operator.run("queue") == []


def test_of_several_instances_the_one_that_is_named_is_asked():
    with (
        Beamlens.start(operators=[Queue], client_registry=ScriptedClient([DONE]), name="one") as one,
        Beamlens.start(operators=[Queue], client_registry=ScriptedClient([DONE, DONE]), name="two") as two,
    ):
        assert Operator.run("queue", instance="two") == Operator.run("queue", instance=two) == []
        assert (Operator.status("queue").runs, Operator.status("queue", instance=two).runs) == (0, 2)
        assert one.operators.status("queue").runs == 0


def test_an_operator_of_a_custom_name_is_found():
    spec = WatcherSpec("mine", domain=Queue)
    with Beamlens.start(watchers=[spec], operators=["mine"], client_registry=ScriptedClient([WAIT], repeat_last=True)):
        assert Operator.status("mine").name == "mine"


# -- as the Coordinator reaches them ---------------------------------------------------------------------------


def test_operators_are_described_in_a_line():
    with Beamlens.start(operators=["ets", Orders]) as lens:
        told = lens.operators.descriptions()
    assert told["orders"] == "orders: Watches orders."
    assert told["ets"].startswith("In-memory tables: In-memory tables of this process")


def test_a_built_in_domain_that_was_not_configured_gets_an_operator_for_its_runs_only():
    with Beamlens.start(operators=[], client_registry=offline_soon()) as lens:
        ended = threading.Event()
        assert (lens.operators.known("gc"), lens.operators.known("database"), lens.operators.known("x")) == (
            True, False, False,
        )  # fmt: skip
        first, second = (lens.operators.start("gc", {"reason": "slow"}) for _ in range(2))
        ref = lens.operators.ref("gc")
        ref.add_exit_callback(lambda _ref, _reason: ended.set())
        assert (first.result(10), second.result(10)) == ([], [])
        assert ended.wait(10)
        assert lens.operators.status("gc") is None
        assert lens.operators.start("gc", {}).result(10) == []
        with pytest.raises(OperatorNotStarted, match="add operators"):
            Operator.run("gc")


def test_one_that_is_neither_an_operator_nor_a_domain_cannot_be_started():
    with Beamlens.start(operators=[]) as lens:
        with pytest.raises(OperatorNotStarted, match="unknown domain 'nope'"):
            lens.operators.start("nope", {})
        with pytest.raises(OperatorNotStarted):
            lens.operators.message("nope", "how?")
        assert lens.operators.status("nope") is None


# -- import ----------------------------------------------------------------------------------------------------


def test_the_names_are_there_and_imported_only_when_asked_for():
    for name in ("Operator", "OperatorActor", "RunHandle", "OperatorMessage", "OperatorNotStarted", "Cancelled"):
        assert getattr(beamlens, name).__name__ == name
    code = (
        "import sys, beamlens; "
        "print([m for m in ('beamlens.operator.actor', 'beamlens.operator.run', 'beamlens.agent.loop', "
        "'beamlens.application.operator') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nope"):
        beamlens.nope  # noqa: B018


def test_status_of_an_operator_is_answered_through_the_registry():
    with Beamlens.start(operators=["ets"]):
        assert registry.lookup("ets").ask(status).kind == "operator"
