"""Runs of the Coordinator that somebody asked for."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from beamlens.coordinator import AlertInbox, Ask, CancelRun, CoordinatorActor, Insights, Job
from beamlens.coordinator.strategies import resolve
from beamlens.errors import BeamlensError, Cancelled, DeadlineExceeded, OperatorNotStarted
from beamlens.evidence import Evidence, Place, Strength
from beamlens.findings import (
    AgentStatus,
    OperatorAnswer,
    OperatorMessage,
    OperatorResult,
    RunHandle,
    Snapshot,
    status,
)
from beamlens.llm.offline import OfflineAnalyst
from beamlens.testing import ScriptedClient, tool
from beamlens_actors import Registry
from beamlens_actors.testing import FakeClock
from beamlens_supervision import Supervisor
from tests.beamlens.coordinator.test_inbox import alert
from tests.support.agents import services

PLACE = Place(file="/srv/app/cache.py", line=7, function="put")
LEAK = Evidence(text="_entries grew by 900 items", cause="memory_leak", strength=Strength.CONCLUSIVE, place=PLACE)


class Ops:
    """Operators that tests drive: each run waits until the test ends it."""

    def __init__(self, *names):
        self.names = names or ("ets", "runtime")
        self.asked = []
        self.handles = {}
        self.immediately = {}
        self.answers = {}
        self._changed = threading.Condition()

    def descriptions(self):
        return {name: f"watches {name}" for name in self.names}

    def known(self, name):
        return name in (*self.names, "gc")

    def start(
        self, name, context, *, client=None, max_iterations=25, deadline=None, on_notification=None, on_complete=None
    ):
        if not self.known(name):
            raise OperatorNotStarted(f"there is no operator {name}")
        handle = RunHandle(name, on_notification=on_notification, on_complete=on_complete)
        handle.begin()
        handle.abort.on_abort(lambda: handle.fail(Cancelled("cancelled")))
        with self._changed:
            self.asked.append((name, dict(context), client, max_iterations, deadline))
            self.handles[name] = handle
            self._changed.notify_all()
        if name in self.immediately:
            self.finish(name, *self.immediately[name])
        return handle

    def wait_for(self, name):
        with self._changed:
            assert self._changed.wait_for(lambda: name in self.handles, 10)
        return self.handles[name]

    def finish(self, name, *alerts, state="healthy", stopped_by="done", error=""):
        handle = self.handles[name]
        for each in alerts:
            handle.notify(each)
        result = OperatorResult(
            name, state, tuple(alerts), (Snapshot(data={"depth": 3}),), stopped_by=stopped_by, error=error
        )
        handle.finish(list(alerts), result)

    def message(self, name, prompt, timeout=30.0):
        answer = self.answers[name]
        if isinstance(answer, BaseException):
            raise answer
        return OperatorMessage(name, "observing", 2, OperatorAnswer(answer, ("a fact",), ()))

    def status(self, name):
        return AgentStatus(name=name, kind="operator", state="observing", iteration=4) if name in self.handles else None


@contextmanager
def coordinating(client, operators=None, **options):
    inbox, insights, registry = AlertInbox(), Insights(), Registry()
    with services(client, **options) as (made, events):
        spec = CoordinatorActor.child_spec(
            made, inbox, insights, registry=registry, settle=0.01, operators=operators or Ops()
        )
        supervisor = Supervisor.start([spec], max_restarts=10)
        try:
            yield registry.lookup(("coordinator", "coordinator")), inbox, insights, events
        finally:
            supervisor.stop()


def ask(ref, context=None, **options):
    handle = RunHandle("coordinator")
    ref.tell(Ask(Job(context or {}, asked_by="caller", handle=handle, **options)))
    return handle


def insight(*ids, **more):
    fields = {"correlation_type": "temporal", "summary": "s", "confidence": "low"}
    return tool("produce_insight", alert_ids=list(ids), **{**fields, **more})


def answers(client, index):
    """What the model was told in the request of that index since it spoke last."""
    told = []
    for message in reversed(client.requests[index].messages):
        if message.role == "assistant":
            break
        told += [getattr(part, "content", "") or getattr(part, "text", "") for part in message.content]
    return "\n".join(reversed(told))


def found(watcher="ets", observation="cache has 900 entries", **more):
    return alert().model_copy(update={"watcher": watcher, "observation": observation, **more})


# -- asking ----------------------------------------------------------------------------------------------------


def test_a_run_without_anything_to_do_ends_with_an_empty_result():
    with coordinating(ScriptedClient([tool("done")])) as (ref, _inbox, _insights, _events):
        result = ask(ref, {"reason": "a check"}).result(10)
    assert (result.insights, result.operator_results, result.stopped_by, result.iterations) == ((), (), "done", 1)


def test_the_context_reaches_the_model_as_text_from_outside_one_line_a_key():
    client = ScriptedClient([tool("done")])
    with coordinating(client) as (ref, _inbox, _insights, _events):
        ask(ref, {"reason": "memory grows </untrusted>", "since": 3, "deploy": "v2"}).result(10)
    said = client.requests[0].messages[0].content[0].text
    assert "This run was asked for by: caller." in said
    assert "since: 3\ndeploy: v2" in said
    assert said.count("</untrusted>") == 1


def test_runs_are_done_one_at_a_time_in_the_order_of_their_coming():
    client = ScriptedClient([ScriptedClient.HANG, tool("done"), tool("done")])
    with coordinating(client) as (ref, _inbox, _insights, _events):
        first, second, third = (ask(ref, {"reason": str(number)}) for number in range(3))
        client.wait_for_calls(1)
        assert ref.ask(status).queued == 2
        first.cancel()
        second.result(10)
        third.result(10)
        with pytest.raises(Cancelled):
            first.result(10)
    asked = [request.messages[0].content[0].text for request in client.requests]
    assert ['caller">\n0\n' in asked[0], 'caller">\n1\n' in asked[1], 'caller">\n2\n' in asked[2]] == [True] * 3


def test_a_run_that_lost_its_caller_loses_its_place():
    client = ScriptedClient([ScriptedClient.HANG, tool("done")])
    with coordinating(client) as (ref, _inbox, _insights, _events):
        first, gone, last = (ask(ref, {"reason": str(number)}) for number in range(3))
        client.wait_for_calls(1)
        with pytest.raises(TimeoutError):
            gone.result(0.001)
        assert gone.withdraw()
        first.cancel()
        last.result(10)
    assert len(client.requests) == 2


def test_cancel_ends_the_run_in_progress_and_the_queue_goes_on():
    client = ScriptedClient([ScriptedClient.HANG, tool("done")])
    with coordinating(client) as (ref, _inbox, _insights, events):
        first, second = ask(ref), ask(ref)
        client.wait_for_calls(1)
        assert ref.ask(CancelRun()) is True
        with pytest.raises(Cancelled):
            first.result(10)
        assert second.result(10).stopped_by == "done"
        events.wait_for("coordinator.cancelled")
        assert ref.ask(CancelRun()) is False


def test_the_deadline_ends_the_run_and_what_works_for_it_and_nothing_else():
    operators = Ops()
    client = ScriptedClient([tool("invoke_operators", operators=["ets"]), ScriptedClient.HANG, tool("done")])
    with FakeClock() as clock, coordinating(client, operators) as (ref, _inbox, _insights, events):
        handle, next_one = ask(ref, deadline=20.0), ask(ref)
        client.wait_for_calls(2)
        assert 0 < operators.asked[0][4] <= 20
        clock.advance(20)
        with pytest.raises(DeadlineExceeded):
            handle.result()
        events.wait_for("coordinator.deadline_exceeded")
        assert next_one.result().stopped_by == "done"
        clock.advance(300)
    assert handle.report.stopped_by == "deadline"
    assert isinstance(operators.handles["ets"].error, Cancelled)


def test_status_is_answered_while_a_model_hangs():
    client = ScriptedClient([ScriptedClient.HANG])
    with coordinating(client) as (ref, _inbox, _insights, _events):
        handle = ask(ref)
        client.wait_for_calls(1)
        assert (ref.ask(status, timeout=5).running, ref.ask(status).iteration) == (True, 0)
        handle.cancel()


def test_nobody_waits_for_ever_when_the_coordinator_is_killed():
    client = ScriptedClient([ScriptedClient.HANG], repeat_last=True)
    with coordinating(client) as (ref, _inbox, _insights, _events):
        running, queued = ask(ref), ask(ref)
        client.wait_for_calls(1)
        assert ref.ask(status, timeout=5).queued == 1
        ref.kill()
        for handle in (running, queued):
            with pytest.raises(Cancelled):
                handle.result(10)


def test_the_operators_of_a_run_end_with_the_coordinator():
    operators = Ops("ets")
    client = ScriptedClient([tool("invoke_operators", operators=["ets"]), ScriptedClient.HANG])
    with coordinating(client, operators) as (ref, _inbox, _insights, _events):
        ask(ref)
        client.wait_for_calls(2)
        ref.kill()
        with pytest.raises(Cancelled):
            operators.handles["ets"].result(10)


def test_too_many_runs_are_refused():
    client = ScriptedClient([ScriptedClient.HANG], repeat_last=True)
    with coordinating(client) as (ref, _inbox, _insights, _events):
        ask(ref)
        client.wait_for_calls(1)
        waiting = [ask(ref) for _ in range(100)]
        refused = ask(ref)
        with pytest.raises(BeamlensError, match="100 runs of the Coordinator wait already"):
            refused.result(10)
        assert {handle.state for handle in waiting} == {"queued"}


def test_a_model_that_fails_is_replaced_and_the_caller_gets_an_answer():
    client = ScriptedClient([RuntimeError("no network")], repeat_last=True)
    operators = Ops("ets")
    operators.immediately["ets"] = ()
    with coordinating(client, operators) as (ref, _inbox, _insights, _events):
        result = ask(ref, {"reason": "slow"}).result(30)
    assert (result.model, result.stopped_by) == ("offline", "done")
    assert [one.name for one in result.operator_results] == ["ets"]


def test_open_alerts_of_watchers_may_be_left_by_who_was_asked_and_are_taken_up_afterwards():
    first = alert()
    client = ScriptedClient([tool("done"), insight(first.id), tool("done")])
    with FakeClock() as clock, coordinating(client) as (ref, inbox, _insights, events):
        inbox.offer(first)
        events.wait_for("coordinator.alert_received")
        assert ask(ref).result().stopped_by == "done"
        (left,) = events.of("coordinator.done")
        assert left["has_unread"] is True
        ref.ask(status)
        clock.advance(1)
        events.wait_for("coordinator.insight_produced")
        assert inbox.counts().queued == 0


def test_alerts_that_a_caller_gave_are_part_of_this_run_only():
    given = alert()
    client = ScriptedClient([insight(given.id), tool("done"), tool("get_alerts"), tool("done")])
    with coordinating(client) as (ref, inbox, _insights, _events):
        result = ask(ref, alerts=(given,)).result(10)
        assert ask(ref).result(10).alerts == ()
    assert [one.alert_ids for one in result.insights] == [(given.id,)]
    assert result.alerts == (given,)
    assert inbox.counts() == (0, 0, 0, 0, 0)
    assert "\n[]\n" in answers(client, 3)


# -- operators -------------------------------------------------------------------------------------------------


def test_operators_are_asked_and_what_they_find_is_correlated():
    operators = Ops()
    leak = found()
    operators.immediately["ets"] = (leak,)
    client = ScriptedClient(
        [
            tool("invoke_operators", operators=["ets"], context="look for growth"),
            insight(leak.id, matched_observations=["cache has 900 entries"]),
            tool("done"),
        ]
    )
    with coordinating(client, operators) as (ref, _inbox, _insights, events):
        result = ask(ref, {"reason": "memory"}).result(10)
        events.wait_for("coordinator.operator_notification_received")
        events.wait_for("coordinator.operator_complete")
    assert operators.asked[0][:2] == ("ets", {"reason": "look for growth"})
    assert '"started": ["ets"], "count": 1' in answers(client, 1)
    assert [(one.name, one.alerts) for one in result.operator_results] == [("ets", (leak,))]
    assert result.insights[0].matched_observations == ("cache has 900 entries",)


def test_only_operators_that_were_started_are_counted_and_the_others_are_named_with_the_reason():
    operators = Ops("ets")
    client = ScriptedClient(
        [
            tool("invoke_operators", operators=["ets", "nope", "ets"]),
            tool("invoke_operators", operators=["nope"]),
            tool("invoke_operators", operators=[]),
        ]
    )
    with coordinating(client, operators, llm_timeout=5.0) as (ref, _inbox, _insights, events):
        handle = ask(ref, max_iterations=3)
        events.wait_for("coordinator.max_iterations_reached")
        operators.finish("ets")
        assert handle.result(10).stopped_by == "max_iterations"
        assert {m["operator"] for m in events.of("coordinator.operator_not_started")} == {"nope"}
    assert (
        '"started": ["ets"], "count": 1, "refused": {"nope": "there is none of that name; there are: ets"}'
        in answers(client, 1)
    )
    assert "none was started" in answers(client, 2)


def test_domains_limit_whom_it_may_ask_and_may_name_one_that_is_not_configured():
    operators = Ops("ets", "runtime")
    operators.immediately["gc"] = ()
    client = ScriptedClient(
        [tool("invoke_operators", operators=["runtime"]), tool("invoke_operators", operators=["gc"]), tool("done")]
    )
    with coordinating(client, operators) as (ref, _inbox, _insights, _events):
        ask(ref, domains=("ets", "gc")).result(10)
    assert "there are: ets, gc" in answers(client, 1)
    assert [name for name, *_ in operators.asked] == ["gc"]


def test_done_is_refused_while_operators_are_at_work():
    operators = Ops()

    def finished(_request):
        operators.finish("ets")
        return tool("done")

    client = ScriptedClient([tool("invoke_operators", operators=["ets"]), tool("done"), finished])
    with coordinating(client, operators) as (ref, _inbox, _insights, events):
        assert ask(ref).result(10).stopped_by == "done"
        events.wait_for("coordinator.done_rejected")
    assert "1 operators are at work: ets" in answers(client, 2)


def test_a_wait_is_ended_by_the_first_news_of_an_operator():
    operators = Ops()
    client = ScriptedClient(
        [tool("invoke_operators", operators=["ets"]), tool("wait", ms=60_000), tool("done")], repeat_last=True
    )
    with FakeClock() as clock, coordinating(client, operators) as (ref, _inbox, _insights, events):
        handle = ask(ref)
        events.wait_for("coordinator.wait")
        operators.finish("ets")
        assert handle.result().stopped_by == "done"
        clock.advance(1)
    assert '"woken_by_operators": true, "at_work": []' in answers(client, 2)


def test_an_operator_that_broke_off_is_told_to_the_model_and_is_no_healthy_result():
    operators = Ops()

    def crashed(_request):
        operators.finish("ets", stopped_by="llm_error", error="no network")
        return tool("get_operator_statuses")

    client = ScriptedClient([tool("invoke_operators", operators=["ets"]), crashed, tool("done")])
    with coordinating(client, operators) as (ref, _inbox, _insights, events):
        result = ask(ref).result(10)
        (told,) = events.wait_for("coordinator.operator_crashed")
    assert told["reason"] == "llm_error no network"
    assert result.operator_results[0].failed
    said = answers(client, 2)
    assert "Operator ets broke off (llm_error: no network)" in said
    assert "what it did not find says nothing" in said
    assert '"state": null' in said


def test_the_last_operator_that_breaks_off_ends_a_run_that_used_up_its_turns():
    operators = Ops()
    client = ScriptedClient([tool("invoke_operators", operators=["ets"])])
    with coordinating(client, operators) as (ref, _inbox, _insights, events):
        handle = ask(ref, max_iterations=1)
        events.wait_for("coordinator.max_iterations_reached")
        operators.handles["ets"].fail(RuntimeError("killed"))
        result = handle.result(10)
    assert result.stopped_by == "max_iterations"
    assert (result.operator_results[0].stopped_by, result.operator_results[0].error) == ("lost", "killed")


def test_an_operator_is_spoken_to_and_its_answer_or_silence_comes_back():
    operators = Ops("ets", "runtime", "gc")
    operators.answers = {"ets": "the cache grows", "runtime": TimeoutError(), "gc": OperatorNotStarted("gone")}
    asks = [tool("message_operator", operator=name, message="?") for name in ("ets", "runtime", "gc", "nobody")]
    client = ScriptedClient([*asks, tool("done")])
    with coordinating(client, operators) as (ref, _inbox, _insights, _events):
        ask(ref).result(10)
    assert "the cache grows" in answers(client, 1)
    assert "did not answer within 30 s" in answers(client, 2)
    assert "operator gc did not answer:" in answers(client, 3)
    assert "no operator is named 'nobody'; there are: ets, runtime, gc" in answers(client, 4)


# -- schedule --------------------------------------------------------------------------------------------------


def test_a_scheduled_run_begins_when_its_time_has_come():
    client = ScriptedClient([tool("schedule", ms=60_000, reason="see whether it grows"), tool("done")])
    with FakeClock() as clock, coordinating(client) as (ref, _inbox, _insights, events):
        assert ask(ref).result().stopped_by == "schedule"
        while ref.ask(status).running:
            pass
        clock.advance(59)
        assert len(client.requests) == 1
        clock.advance(1)
        events.wait_for("coordinator.run_stopped", stopped_by="done")
        events.wait_for("coordinator.scheduled_reinvoke", reason="see whether it grows")
    assert "asked for by: schedule" in client.requests[1].messages[0].content[0].text


def test_a_chain_of_scheduled_runs_is_bounded():
    client = ScriptedClient([tool("schedule", ms=1000, reason="again")] * 11 + [tool("done")])
    with FakeClock() as clock, coordinating(client) as (ref, _inbox, _insights, events):
        ask(ref).result()
        for count in range(1, 11):
            events.wait_for("coordinator.run_stopped", count)
            while ref.ask(status).running:
                pass
            clock.advance(1)
        events.wait_for("coordinator.schedule_rejected")
        events.wait_for("coordinator.run_stopped", stopped_by="done")
    assert len(events.of("coordinator.schedule")) == 10


def test_a_run_that_is_asked_for_takes_the_place_of_the_scheduled_one():
    client = ScriptedClient([tool("schedule", ms=60_000, reason="later"), tool("done")])
    with FakeClock() as clock, coordinating(client) as (ref, _inbox, _insights, _events):
        ask(ref).result()
        ask(ref).result()
        clock.advance(100_000)
        ref.ask(status)
    assert len(client.requests) == 2


@pytest.mark.parametrize(("ms", "reason"), [(999, "x"), (86_400_001, "x"), (5000, "")])
def test_a_schedule_out_of_bounds_goes_back_to_the_model(ms, reason):
    client = ScriptedClient([tool("schedule", ms=ms, reason=reason), tool("done")])
    with coordinating(client) as (ref, _inbox, _insights, _events):
        assert ask(ref).result(10).stopped_by == "done"
    assert client.requests[1].messages[-1].content[0].is_error


# -- grounding -------------------------------------------------------------------------------------------------


def test_observations_are_quoted_word_for_word_or_go_back():
    given = found(observation="cache has 900 entries, 4.5 MB")
    client = ScriptedClient(
        [
            insight(given.id, matched_observations=["the cache seems to leak"]),
            insight(given.id, matched_observations=["Cache has  900 entries, 4.5 MB."]),
            tool("done"),
        ]
    )
    with coordinating(client) as (ref, _inbox, _insights, _events):
        result = ask(ref, alerts=(given,)).result(10)
    assert "Quote them as they are" in answers(client, 1)
    assert "cache has 900 entries, 4.5 MB" in answers(client, 1)
    assert len(result.insights) == 1


CAUSE = {"root_cause_hypothesis": "a leak", "hypothesis_grounded": True, "confidence": "high"}


@pytest.mark.parametrize(
    ("alerts", "grounded", "confidence"),
    [
        ([found("ets")], False, "medium"),
        ([found("ets"), found("ets")], False, "medium"),
        ([found("ets"), found("runtime")], True, "high"),
        ([found("ets", evidence=(LEAK,))], True, "high"),
    ],
)
def test_a_hypothesis_is_grounded_by_independent_sources_only(alerts, grounded, confidence):
    client = ScriptedClient([insight(*(one.id for one in alerts), **CAUSE), tool("done")])
    with coordinating(client) as (ref, _inbox, _insights, _events):
        (produced,) = ask(ref, alerts=tuple(alerts)).result(10).insights
    assert (produced.hypothesis_grounded, produced.confidence) == (grounded, confidence)
    assert ("was set to false" in answers(client, 1)) is not grounded


CLASSIFIED = tool("classify", intent="question", operators=["ets"], operator_context="?")

# -- strategies ------------------------------------------------------------------------------------------------


def test_the_pipeline_chooses_gathers_and_answers_in_two_calls():
    operators = Ops("ets", "runtime")
    leak = found(hypothesis="a secret guess")
    operators.immediately["ets"] = (leak,)
    client = ScriptedClient(
        [
            tool("classify", intent="investigation", operators=["ets"], operator_context="growth"),
            tool("answer", answer="The cache grows."),
        ]
    )
    with coordinating(client, operators) as (ref, _inbox, insights, events):
        result = ask(ref, {"reason": "why?"}, strategy=resolve("pipeline")).result(10)
        events.wait_for("coordinator.pipeline_classify_complete", intent="investigation", operators=["ets"])
        events.wait_for("coordinator.pipeline_synthesize_complete")
        assert len(events.wait_for("coordinator.run_stopped")) == 1
    assert [(one.summary, one.alert_ids, one.confidence) for one in result.insights] == [
        ("The cache grows.", (leak.id,), "medium")
    ]
    assert insights.all() == list(result.insights)
    assert "a secret guess" not in str(client.requests[1].messages)
    assert "cache has 900 entries" in str(client.requests[1].messages)


def test_the_pipeline_answers_from_snapshots_when_nothing_was_found():
    operators = Ops("ets")
    operators.immediately["ets"] = ()
    client = ScriptedClient([CLASSIFIED, tool("answer", answer="All well.")])
    with coordinating(client, operators) as (ref, _inbox, _insights, _events):
        result = ask(ref, {"reason": "how are we?"}, strategy=resolve("pipeline")).result(10)
    assert [(one.summary, one.alert_ids) for one in result.insights] == [("All well.", ())]
    assert '\\\\"depth\\\\": 3' in str(client.requests[1].messages)


def test_the_pipeline_goes_on_with_what_it_has_when_its_operators_take_too_long():
    operators = Ops("ets")
    client = ScriptedClient([CLASSIFIED, tool("answer", answer="Not known.")])
    with FakeClock() as clock, coordinating(client, operators) as (ref, _inbox, _insights, _events):
        handle = ask(ref, {"reason": "?"}, strategy=resolve("pipeline"), deadline=100.0)
        operators.wait_for("ets")
        clock.wait_for_waiters(1)
        clock.advance(71)
        assert handle.result().insights[0].summary == "Not known."


def test_a_strategy_of_the_callers_own_decides_and_its_failure_is_the_callers_answer():
    class Counts:
        name = "counts"

        def run(self, run):
            self.alerts = len(run.alerts())
            return "counted"

    class Fails:
        name = "fails"

        def run(self, run):
            raise ValueError("no idea")

    counts = Counts()
    with coordinating(ScriptedClient([])) as (ref, _inbox, _insights, _events):
        assert ask(ref, alerts=(alert(),), strategy=counts).result(10).stopped_by == "counted"
        with pytest.raises(BeamlensError, match="strategy fails failed: ValueError: no idea"):
            ask(ref, strategy=Fails()).result(10)
    assert counts.alerts == 1


# -- without a model -------------------------------------------------------------------------------------------


def test_the_offline_analyst_asks_who_can_tell_and_names_the_cause():
    analyst = OfflineAnalyst()
    operators = Ops("ets", "logger", "ports")
    operators.immediately["ets"] = (found(evidence=(LEAK,)),)
    with coordinating(analyst, operators, offline=analyst) as (ref, _inbox, _insights, _events):
        result = ask(ref, {"reason": "memory grows"}).result(20)
    assert [name for name, *_ in operators.asked] == ["ets"]
    (produced,) = result.insights
    assert (produced.cause.kind, produced.cause.place, produced.model) == ("memory_leak", PLACE, "offline")


def test_the_offline_analyst_answers_a_question_in_the_pipeline():
    analyst = OfflineAnalyst()
    operators = Ops("ets", "gc", "runtime")
    operators.immediately = {"ets": (found(evidence=(LEAK,)),), "gc": (), "runtime": ()}
    with coordinating(analyst, operators, offline=analyst) as (ref, _inbox, _insights, _events):
        result = ask(ref, {"reason": "why does memory grow?"}, strategy=resolve("pipeline")).result(20)
    (answer,) = result.insights
    assert "Memory leak at app/cache.py:7 in put: _entries grew by 900 items." in answer.summary
    assert "Nothing out of bounds was found by: runtime, gc." in answer.summary
