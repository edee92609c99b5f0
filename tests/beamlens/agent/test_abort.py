from __future__ import annotations

import threading

import pytest

from beamlens.agent import Limits, Tool
from beamlens.agent.transcript import Transcript
from beamlens.llm.client import Completion
from beamlens.testing import ScriptedClient, tool
from beamlens_actors import Aborted, AbortSignal
from tests.support.loops import ADD, END, Nothing, Run, in_background


def aborting(*tools, calls, limits=None):
    """A run that is aborted as soon as every tool that waits has begun."""
    abort = AbortSignal()
    client = ScriptedClient([calls, tool("end")])
    wait = in_background(lambda: Run(client, [*tools, ADD, END], abort=abort, limits=limits))
    return abort, wait


def hanging(begun, never):
    return Tool("hang", lambda _a: (begun.release(), never.wait(30)), Nothing)


def test_abort_mid_tools_ends_those_that_ignore_it_and_each_call_has_its_result():
    begun, never = threading.Semaphore(0), threading.Event()
    abort, wait = aborting(hanging(begun, never), calls=[tool("hang"), tool("hang")])
    begun.acquire()
    begun.acquire()
    abort.abort("enough")
    run = wait()
    never.set()
    assert (run.outcome.stopped_by, run.kinds()) == ("aborted", ["aborted", "aborted"])


def test_a_tool_that_takes_the_signal_hears_of_the_abort():
    begun, heard = threading.Event(), threading.Event()

    def heed(_arguments, abort):
        begun.set()
        if abort.wait(10):
            heard.set()
        abort.raise_if_aborted()

    abort, wait = aborting(Tool("heed", heed, Nothing), calls=[tool("heed")])
    begun.wait(10)
    abort.abort()
    run = wait()
    assert heard.is_set()
    assert run.kinds() == ["aborted"]


def test_a_tool_that_takes_the_signal_hears_of_its_timeout():
    heard = threading.Event()

    def heed(_arguments, abort):
        if abort.wait(10):
            heard.set()

    run = Run(ScriptedClient([tool("heed"), tool("end")]), [Tool("heed", heed, Nothing, timeout=0.05), END])
    assert run.kinds()[0] == "tool_task_timeout"
    assert heard.wait(10)


def test_results_that_were_there_before_the_abort_are_kept():
    begun, never = threading.Semaphore(0), threading.Event()
    told = threading.Event()
    abort = AbortSignal()
    client = ScriptedClient([[tool("hang"), tool("add", value=1)]])

    def tell(event):
        if event.type == "tool_execution_end":
            told.set()

    wait = in_background(lambda: Run(client, [hanging(begun, never), ADD], abort=abort, hear=tell))
    begun.acquire()
    told.wait(10)
    abort.abort()
    run = wait()
    never.set()
    assert run.kinds() == ["aborted", ""]
    assert run.results()[1].content == '{"sum": 2}'


def test_a_tool_that_ends_within_the_grace_keeps_its_result():
    begun = threading.Event()

    def heed(_arguments, abort):
        begun.set()
        abort.wait(10)
        return "what there is so far"

    abort, wait = aborting(Tool("heed", heed, Nothing), calls=[tool("heed")])
    begun.wait(10)
    abort.abort()
    run = wait()
    assert run.outcome.stopped_by == "aborted"
    assert run.results()[0].content == "what there is so far"


def test_queued_calls_are_never_started_after_an_abort():
    begun, never = threading.Semaphore(0), threading.Event()
    limits = Limits(max_tool_concurrency=1)
    abort, wait = aborting(hanging(begun, never), calls=[tool("hang"), tool("hang")], limits=limits)
    begun.acquire()
    abort.abort()
    run = wait()
    never.set()
    assert run.kinds() == ["aborted", "aborted"]
    assert run.types().count("tool_execution_start") == 1
    assert run.types().count("tool_execution_end") == 2
    assert len(run.events.of("agent_core.tool_task.start")) == 1
    assert [each["reason"] for each in run.events.of("agent_core.tool_task.error")] == ["aborted", "aborted"]


def test_the_loop_exits_cleanly_on_abort():
    begun, never = threading.Semaphore(0), threading.Event()
    abort, wait = aborting(hanging(begun, never), calls=[tool("hang")])
    begun.acquire()
    abort.abort("enough")
    run = wait()
    never.set()
    assert run.types()[-3:] == ["turn_end", "cancelled", "agent_end"]
    assert run.told[-2].reason == "enough"
    Transcript(run.outcome.messages).check()
    assert run.events.of("agent_core.loop.state_transition")[-1]["to_state"] == "aborted"


def test_a_run_that_is_aborted_before_it_begins_asks_no_model():
    abort = AbortSignal()
    abort.abort()
    client = ScriptedClient(["Never."])
    run = Run(client, abort=abort)
    assert (run.outcome.stopped_by, client.requests) == ("aborted", [])
    assert run.types() == ["agent_start", "message_start", "message_end", "cancelled", "agent_end"]


def test_an_idempotent_tool_is_not_tried_again_after_an_abort():
    tries = []
    abort = AbortSignal()

    def fails(_arguments):
        tries.append(1)
        abort.abort()
        raise OSError("no")

    run = Run(ScriptedClient([tool("fails")]), [Tool("fails", fails, Nothing, idempotent=True)], abort=abort)
    assert (len(tries), run.outcome.stopped_by) == (1, "aborted")


@pytest.mark.parametrize("late", ["abort", "deadline"])
def test_an_answer_that_comes_too_late_does_not_count(late):
    abort = AbortSignal()

    def answer(_request):
        abort.abort(late)
        return Completion(text="Here I am.", model="scripted")

    run = Run(ScriptedClient([answer]), abort=abort, until="answer")
    assert run.outcome.stopped_by == ("deadline" if late == "deadline" else "aborted")
    assert run.outcome.text == ""


def test_a_signal_of_another_run_changes_nothing():
    other = AbortSignal()
    other.abort()
    with pytest.raises(Aborted):
        other.raise_if_aborted()
    assert Run(ScriptedClient([tool("end")])).outcome.stopped_by == "end"
