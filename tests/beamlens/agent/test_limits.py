from __future__ import annotations

import threading

import pytest

from beamlens.agent import Limits, RunOutcome, Tool
from beamlens.errors import BeamlensError, ConfigError, LLMError
from beamlens.llm.client import Completion, Message, Text, ToolCall, ToolOutput, Usage
from beamlens.testing import ScriptedClient, tool
from beamlens_actors.testing import FakeClock
from tests.support.loops import ADD, Nothing, Number, Run, in_background

HAIKU = "claude-haiku-4-5-20251001"


def adding(**usage):
    """A model that never stops calling tools."""

    def answer(request):
        call = ToolCall(f"call_{len(request.messages)}", "add", {"value": 1})
        return Completion(tool_calls=(call,), usage=Usage(**usage), model=HAIKU, stop_reason="tool_use")

    return ScriptedClient([answer], model=HAIKU, repeat_last=True)


@pytest.mark.parametrize(
    ("limits", "usage", "calls", "stopped_by"),
    [
        ({"max_iterations": 4}, {}, 4, "max_iterations"),
        ({"max_tool_turns": 3}, {}, 3, "max_tool_turns"),
        ({"max_total_tokens": 250}, {"input_tokens": 90, "output_tokens": 10}, 3, "max_total_tokens"),
        ({"max_usd": 0.25}, {"output_tokens": 20_000}, 3, "max_usd"),
        ({"calls_per_hour": 2}, {}, 2, "calls_per_hour"),
    ],
)
def test_a_model_that_never_stops_calling_tools_is_stopped_by_the_limit_that_is_named(limits, usage, calls, stopped_by):
    client = adding(**usage)
    run = Run(client, [ADD], limits=Limits(**limits), until="answer", fallback=False)
    assert (run.outcome.stopped_by, len(client.requests)) == (stopped_by, calls)
    assert run.events.of("agent.run_stopped")[0]["stopped_by"] == stopped_by


def test_the_outcome_says_what_was_used():
    run = Run(adding(input_tokens=1000, output_tokens=200), [ADD], limits=Limits(max_iterations=2))
    assert run.outcome.usage.total == 2400
    assert run.outcome.cost_usd == pytest.approx(2 * (0.001 + 0.001))


def test_a_cost_that_is_not_known_is_not_zero_and_counts_as_the_dearest():
    client = ScriptedClient([tool("add", value=1)], repeat_last=True)
    run = Run(client, [ADD], limits=Limits(max_usd=0.003), until="answer")
    assert run.outcome.cost_usd is None
    assert (run.outcome.stopped_by, len(client.requests)) == ("max_usd", 2)


def test_the_deadline_ends_a_tool_that_hangs():
    never = threading.Event()
    tools = [Tool("hang", lambda _a: never.wait(30), Nothing)]
    run = Run(ScriptedClient([tool("hang")]), tools, limits=Limits(deadline=0.05))
    never.set()
    assert (run.outcome.stopped_by, run.kinds()) == ("deadline", ["aborted"])


def test_a_model_call_that_takes_too_long_is_named():
    never = threading.Event()
    client = ScriptedClient([lambda _request: never.wait(30)], repeat_last=True)
    with FakeClock() as clock:
        wait = in_background(lambda: Run(client, limits=Limits(call_timeout=3.0), until="answer", fallback=False))
        for count in (1, 2, 3):
            client.wait_for_calls(count)
            clock.wait_for_waiters(1, within=5.0)
            clock.advance(5.0)
            if count < 3:
                clock.wait_for_waiters(1, within=2.0)
                clock.advance(2.0)
        run = wait()
    never.set()
    assert run.outcome.stopped_by == "call_timeout"
    assert client.requests[0].timeout == 3.0
    assert run.outcome.failed


def test_a_model_that_answers_nothing_ends_the_run_as_an_empty_answer():
    run = Run(ScriptedClient([Completion()]), until="answer")
    assert (run.outcome.stopped_by, run.outcome.error) == ("empty_answer", "the model answered nothing")
    assert run.types()[-2:] == ["error", "agent_end"]


def test_a_model_that_answers_nothing_where_a_tool_must_end_the_run_is_fruitless():
    client = ScriptedClient([Completion()], repeat_last=True)
    run = Run(client, limits=Limits(max_fruitless=3))
    assert (run.outcome.stopped_by, len(client.requests)) == ("fruitless", 3)


def test_a_failure_without_anybody_to_take_over_is_named():
    error = LLMError("wrong key", kind="authentication", retryable=False)
    run = Run(ScriptedClient([error]), until="answer", fallback=False)
    assert (run.outcome.stopped_by, run.outcome.error) == ("llm_error", "wrong key")


@pytest.mark.parametrize(
    "bad",
    [
        {"max_iterations": 0},
        {"max_iterations": None},
        {"deadline": -1},
        {"max_usd": "1"},
        {"max_tool_turns": True},
        {"tool_retries": -1},
        {"call_timeout": float("nan")},
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Limits(**bad)


def test_no_retries_is_a_limit():
    assert Limits(tool_retries=0).tool_retries == 0


CALL = ToolCall("1", "add", {"value": 1})
OUTPUT = ToolOutput("1", "2")


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ([Message("assistant", (CALL,))], "the call '1' has no result"),
        ([Message("assistant", (CALL,)), Message.user("so?")], "the call '1' has no result"),
        ([Message("user", (OUTPUT,))], "the result '1' answers no call"),
        ([Message("assistant", (CALL,)), Message("user", (OUTPUT, OUTPUT))], "the call '1' has two results"),
        (
            [Message("assistant", (CALL,)), Message("user", (OUTPUT,)), Message("assistant", (CALL,))],
            "the call id '1' is used twice",
        ),
    ],
)
def test_a_conversation_whose_calls_and_results_do_not_match_is_never_sent(history, words):
    client = ScriptedClient(["Never."])
    run = Run(client, history=history, until="answer")
    assert run.outcome.stopped_by == "invalid_transcript"
    assert words in run.outcome.error
    assert client.requests == []


def test_a_conversation_goes_on_where_it_was():
    history = [Message.user("1 + 1?"), Message("assistant", (CALL,)), Message("user", (OUTPUT,))]
    client = ScriptedClient(["2"])
    run = Run(client, history=history, opening=[], until="answer")
    assert client.requests[0].messages == tuple(history)
    assert run.outcome.messages == (Message("assistant", (Text("2"),)),)


def test_calls_of_two_runs_never_share_an_id():
    history = [Message.user("1 + 1?"), Message("assistant", (CALL,)), Message("user", (OUTPUT,))]
    client = ScriptedClient([lambda _r: Completion(tool_calls=(CALL,)), "3"])
    run = Run(client, [Tool("add", lambda a: a.value, Number)], history=history, until="answer")
    assert run.outcome.stopped_by == "answered"


def test_an_outcome_is_plain_data():
    assert RunOutcome("answered", 1) == RunOutcome("answered", 1)
    assert issubclass(ConfigError, BeamlensError)
