"""Speaking to an operator: answered in its own task, from what it has seen, without disturbing it."""

from __future__ import annotations

import threading

import pytest

from beamlens.errors import BeamlensError, Cancelled, LLMError
from beamlens.findings import OperatorAnswer
from beamlens.llm.offline import OfflineAnalyst
from beamlens.testing import ScriptedClient, tool
from beamlens_actors.testing import FakeClock
from tests.support.agents import Queue
from tests.support.operators import DONE, LOOK, fire, operating, pass_time

ANSWER = tool("answer", summary="one deep queue", findings=["depth is 1"], concerns=["it may grow"])


class Speaking:
    """A client that answers questions by one script and runs by another."""

    model = "speaking"

    def __init__(self, run, answers):
        self.run, self.answers = ScriptedClient(run), ScriptedClient(answers)

    def complete(self, request, *, abort):
        asked = [spec.name for spec in request.tools] == ["answer"]
        return (self.answers if asked else self.run).complete(request, abort=abort)


def test_it_answers_while_a_run_hangs_and_the_run_knows_nothing_of_it():
    gone_on = threading.Event()

    def hold(_request):
        assert gone_on.wait(10)
        return tool("set_state", state="warning", reason="r")

    client = Speaking([LOOK, fire(), hold, DONE], [ANSWER])
    with operating(client) as one:
        handle = one.ask({"reason": "slow"})
        client.run.wait_for_calls(3)
        answer = one.say("what do you see?").result(10)
        assert one.status().running
        gone_on.set()
        handle.result(10)
    assert (answer.domain, answer.state, answer.iteration) == ("queue", "healthy", 2)
    assert answer.response == OperatorAnswer("one deep queue", ("depth is 1",), ("it may grow",))
    (asked,) = client.answers.requests
    assert "Reason: slow" in str(asked.messages)
    assert "deep_queue" in str(asked.messages)
    assert '<untrusted source="question">\nwhat do you see?\n</untrusted>' in str(
        [block.text for block in asked.messages[-1].content if hasattr(block, "text")]
    ).replace("\\n", "\n")
    assert all("what do you see?" not in str(request.messages) for request in client.run.requests)


def test_status_is_answered_while_an_answer_hangs():
    client = Speaking([], [ScriptedClient.HANG])
    with operating(client) as one:
        question = one.say("how is it?")
        client.answers.wait_for_calls(1)
        assert not one.status().running
        question.cancel()
        with pytest.raises(Cancelled):
            question.result(10)


def test_a_run_begins_while_an_answer_hangs():
    client = Speaking([DONE], [ScriptedClient.HANG])
    with operating(client) as one:
        question = one.say("how is it?")
        client.answers.wait_for_calls(1)
        assert one.run().result() == []
        question.cancel()


def test_one_that_has_not_looked_yet_takes_a_snapshot_for_the_answer():
    client = Speaking([], [ANSWER])
    with operating(client) as one:
        one.say("how is it?").result(10)
        found = one.status()
    assert '"depth":1' in str(client.answers.requests[0].messages)
    assert (found.runs, found.alerts) == (0, 0)


def test_after_a_run_it_answers_from_that_run():
    client = Speaking([LOOK, fire(), tool("set_state", state="critical", reason="r"), DONE], [ANSWER, ANSWER])
    with operating(client) as one:
        one.run({"reason": "slow"})
        answer = one.say("what was it?").result(10)
        one.say("and again?").result(10)
    assert (answer.state, answer.iteration) == ("critical", 0)
    assert "Reason: slow" in str(client.answers.requests[0].messages)
    assert "what was it?" not in str(client.answers.requests[1].messages)


def test_words_without_the_tool_are_an_answer_too():
    with operating(Speaking([], ["All is well."])) as one:
        assert one.say("how is it?").result(10).response == OperatorAnswer("All is well.")


@pytest.mark.parametrize("nothing", ["", tool("take_snapshot"), tool("answer", summary="")])
def test_no_answer_is_an_error(nothing):
    with operating(Speaking([], [nothing])) as one, pytest.raises(LLMError, match="gave no answer"):
        one.say("how is it?").result(10)


def test_a_model_that_fails_is_taken_over_by_the_offline_analyst():
    with operating(Speaking([], [LLMError("no credit", kind="authentication", retryable=False)])) as one:
        answer = one.say("how is it?").result(10)
    assert answer.response.summary == "queue is healthy: nothing was found that is beyond its bounds."
    assert answer.response.findings == ("closest to a limit: depth is 1 orders, 1% of 100 orders",)


def test_the_offline_analyst_answers_from_facts():
    domain = Queue()
    domain.depth = 600
    with FakeClock() as clock, operating(OfflineAnalyst(), domain) as one:
        pass_time(clock, one.ask())
        answer = one.say("what was it?").result()
    assert (answer.state, answer.response.summary) == ("critical", "queue is critical: 1 found, 1 sensors are active.")
    (finding,) = answer.response.findings
    assert finding.startswith("depth is 600 orders, at or above 500 orders")


def test_a_domain_that_fails_is_an_error_for_whoever_asks():
    class Broken(Queue):
        def snapshot(self):
            raise ZeroDivisionError("the pool is gone")

    with operating(Speaking([], []), Broken()) as one, pytest.raises(BeamlensError, match="the pool is gone"):
        one.say("how?").result(10)


def test_when_the_operator_is_killed_whoever_asked_is_told():
    client = Speaking([], [ScriptedClient.HANG])
    with operating(client) as one:
        question = one.say("how?")
        client.answers.wait_for_calls(1)
        one.ref.kill()
        with pytest.raises(Cancelled, match="the operator ended"):
            question.result(10)


def test_whoever_asks_gets_no_answer_after_the_timeout():
    client = Speaking([], [ScriptedClient.HANG])
    with FakeClock() as clock, operating(client) as one:
        question = one.say("how is it?", timeout=3.0)
        client.answers.wait_for_calls(1)
        pass_time(clock, question)
        with pytest.raises(TimeoutError, match="queue did not answer within 3 s"):
            question.result()


def test_sixteen_questions_are_answered_at_a_time_and_no_more():
    client = Speaking([], [ScriptedClient.HANG] * 17)
    with operating(client) as one:
        questions = [one.say("how is it?") for _ in range(17)]
        with pytest.raises(BeamlensError, match="answers 16 questions already"):
            questions[-1].result(10)
        for question in questions:
            question.cancel()
