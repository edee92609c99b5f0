from __future__ import annotations

import dataclasses
import functools
import gc
import threading
import time
import weakref

import pytest

from beamlens.agent import Limits, Tool, ToolError
from beamlens.agent.content import MOST, Unserialisable, render
from beamlens.agent.failures import KINDS
from beamlens.agent.tool_call import extra_parameters
from beamlens.llm.client import Completion, ToolCall
from beamlens.testing import ScriptedClient, tool
from beamlens_actors import ActorDead
from beamlens_actors.testing import FakeClock
from beamlens_supervision import TaskSupervisor
from tests.support.loops import ADD, CRASH, END, REFUSE, TOOLS, Nothing, Number, Run, in_background, outputs, raise_


def one(call, *tools, **options):
    """The one result of a call."""
    run = Run(ScriptedClient([call, tool("end")]), [*tools, END], **options)
    assert run.outcome.stopped_by == "end"
    return run.results()[0], run


def test_a_tool_completes_and_its_result_is_returned():
    result, run = one(tool("add", value=1), ADD)
    assert (result.content, result.is_error, result.details) == ('{"sum": 2}', False, {"sum": 2})
    assert run.events.of("agent_core.tool_task.end")[0]["is_error"] is False


def test_what_a_client_does_to_a_tools_schema_is_not_seen_by_the_next_run():
    spec = ADD.spec()
    spec.parameters["properties"]["value"]["type"] = "spoiled"
    assert ADD.spec().parameters["properties"]["value"]["type"] == "integer"


def test_a_missing_tool_is_an_error_that_names_the_tools():
    result, _run = one(tool("nope"), ADD)
    assert result.error_type == "unknown_tool"
    assert result.content == "there is no tool 'nope'; the tools are: add, end"


@pytest.mark.parametrize("arguments", [{"value": "many"}, {}, "five", None, [1], {"value": None}])
def test_malformed_arguments_are_an_error_and_the_tool_is_not_started(arguments):
    result, run = one(ToolCall("c", "add", arguments), ADD)
    assert result.error_type == "invalid_tool_arguments"
    assert run.events.of("agent_core.tool_task.error")[0]["reason"] == "invalid_tool_arguments"


def test_a_refusal_is_an_answer():
    result, run = one(tool("refuse"), REFUSE)
    assert (result.error_type, result.content) == ("tool_error", "not today")
    assert run.events.of("agent_core.tool_task.end")[0]["is_error"] is True


def test_an_exception_becomes_an_error_result():
    result, _run = one(tool("crash"), CRASH)
    assert (result.error_type, result.content) == ("tool_exception", "crash failed: ValueError: oops")


class Mute(Exception):
    def __str__(self):
        raise ValueError


def test_an_exception_that_cannot_be_shown_is_an_error_result_too():
    result, _run = one(tool("mute"), Tool("mute", lambda _a: raise_(Mute()), Nothing))
    assert result.content == "mute failed: Mute: <no text: __str__ failed>"


GROUP = ExceptionGroup("three shards", [ValueError("a"), ExceptionGroup("inner", [OSError("b"), OSError("b")])])


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (GROUP, "tool_exception", "ExceptionGroup: three shards: ValueError: a; OSError: b (2 times)"),
        (
            BaseExceptionGroup("two", [SystemExit(3), ValueError("a")]),
            "tool_caught",
            "BaseExceptionGroup: two: SystemExit: 3; ValueError: a",
        ),
        (
            ExceptionGroup("many", [ValueError(number) for number in range(10)]),
            "tool_exception",
            f"ExceptionGroup: many: {'; '.join(f'ValueError: {number}' for number in range(8))}; and 2 others",
        ),
        (
            ExceptionGroup("endless", [ValueError("a")] * 1001),
            "tool_exception",
            "ExceptionGroup: endless: ValueError: a (1000 times); and more",
        ),
        (
            ExceptionGroup("m" * 400, [ValueError("v" * 400)]),
            "tool_exception",
            f"ExceptionGroup: {'m' * 300}...: ValueError: {'v' * 288}...",
        ),
        (ExceptionGroup("odd", [Mute()]), "tool_exception", "ExceptionGroup: odd: Mute: <no text: __str__ failed>"),
    ],
)
def test_a_group_of_exceptions_is_an_error_result_that_names_what_it_is_made_of(error, kind, said):
    result, _run = one(tool("split"), Tool("split", lambda _a: raise_(error), Nothing))
    assert (result.error_type, result.content) == (kind, f"split failed: {said}")


def test_a_group_deeper_than_the_stack_is_an_error_result():
    error = ValueError("a")
    for _ in range(5000):
        error = ExceptionGroup("g", [error])
    result, _run = one(tool("deep"), Tool("deep", lambda _a: raise_(error), Nothing))
    assert result.content == "deep failed: ExceptionGroup: g: ValueError: a"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_is_no_exception_is_caught_too(error):
    result, _run = one(tool("leave"), Tool("leave", lambda _a: raise_(error), Nothing))
    assert result.error_type == "tool_caught"
    assert type(error).__name__ in result.content


def test_a_task_that_is_killed_becomes_an_error_result():
    begun, never = threading.Event(), threading.Event()
    tasks = TaskSupervisor.start(name="own-tools")

    def hang(_arguments):
        begun.set()
        never.wait(30)

    def kill():
        begun.wait(10)
        (child,) = tasks.which_children()
        child.ref.kill()

    client = ScriptedClient([tool("hang"), "I cannot."])
    tools = [Tool("hang", hang, Nothing)]
    wait = in_background(lambda: Run(client, tools, services={"tool_tasks": lambda: tasks}, until="answer"))
    kill()
    run = wait()
    never.set()
    tasks.stop()
    assert run.kinds() == ["tool_task_crashed"]


def test_a_task_that_cannot_start_becomes_an_error_result():
    run = Run(
        ScriptedClient([tool("add", value=1), "It cannot be done."]),
        [ADD],
        services={"tool_tasks": lambda: raise_(ActorDead("it is being restarted"))},
        until="answer",
    )
    assert run.outcome.stopped_by == "answered"
    assert run.kinds() == ["tool_task_start_failed"]


def test_a_tool_that_hangs_is_given_up_at_its_timeout():
    never = threading.Event()
    result, _run = one(tool("hang"), Tool("hang", lambda _a: never.wait(30), Nothing, timeout=0.05))
    never.set()
    assert result.error_type == "tool_task_timeout"
    assert result.content == "hang did not end within 0.05 s"


class Odd:
    """Something that JSON cannot say."""


def circle():
    found = []
    found.append(found)
    return found


async def waiting(_arguments):
    return "never"


@pytest.mark.parametrize(
    "fn",
    [lambda _a: Odd(), lambda _a: {"a": Odd()}, lambda _a: circle(), lambda _a: {(1, 2): 3}, waiting, lambda _a: b"x"],
)
def test_a_result_that_cannot_be_shown_is_an_error(fn):
    result, _run = one(tool("odd"), Tool("odd", fn, Nothing))
    assert result.error_type == "unexpected_tool_result"
    assert "odd returned something that cannot be shown" in result.content


def test_every_error_kind_is_one_of_the_ten():
    assert len(KINDS) == 10


@pytest.mark.parametrize("value", ["x" * 50_000_000, ["x" * 1000] * 50_000, {"a": "x" * 50_000_000}])
def test_fifty_megabytes_are_cut_at_once_and_not_kept(value):
    began = time.monotonic()
    result, _run = one(tool("huge"), Tool("huge", lambda _a: value, Nothing))
    assert time.monotonic() - began < 5.0
    assert len(result.content) < MOST + 200
    assert result.content.endswith("ask for less]")
    assert not result.is_error
    assert result.details is None


def test_what_is_plain_enough_is_shown():
    @dataclasses.dataclass
    class Point:
        x: int

    assert render({"p": Point(1), "n": Number(value=2), "s": {3}}) == '{"p": {"x": 1}, "n": {"value": 2}, "s": [3]}'
    with pytest.raises(Unserialisable):
        render(Odd())


def test_all_parallel_calls_complete_with_one_result_each_in_call_order():
    meet = threading.Barrier(5, timeout=10)
    calls = [tool("meet"), tool("crash"), tool("meet"), tool("nope"), tool("meet"), tool("refuse"), tool("meet")]
    client = ScriptedClient([[*calls, tool("meet")], tool("end")])
    run = Run(client, [Tool("meet", lambda _a: meet.wait() >= 0, Nothing), *TOOLS])
    assert run.kinds()[:-1] == ["", "tool_exception", "", "unknown_tool", "", "tool_error", "", ""]
    sent = [block.id for block in client.requests[1].messages[1].content]
    assert [output.call_id for output in outputs(client)] == sent


def test_the_cap_is_kept_and_queued_calls_start_in_call_order():
    running, most = set(), []
    lock, pair = threading.Lock(), threading.Barrier(2, timeout=10)

    def work(arguments):
        with lock:
            running.add(arguments.value)
            most.append(len(running))
        pair.wait()  # passes only if two run at a time
        with lock:
            running.remove(arguments.value)
        return arguments.value

    client = ScriptedClient([[tool("work", value=number) for number in range(6)], tool("end")])
    limits = Limits(max_iterations=5, max_tool_concurrency=2)
    run = Run(client, [Tool("work", work, Number), END], limits=limits)
    started = [
        event.arguments["value"] for event in run.told if event.type == "tool_execution_start" and event.arguments
    ]
    assert max(most) == 2
    assert started == [0, 1, 2, 3, 4, 5]
    assert [result.content for result in run.results()[:6]] == ["0", "1", "2", "3", "4", "5"]


def test_an_idempotent_tool_is_tried_again_with_one_result():
    tries = []

    def flaky(_arguments):
        tries.append(1)
        if len(tries) < 3:
            raise OSError("not yet")
        return "there"

    result, run = one(tool("flaky"), Tool("flaky", flaky, Nothing, idempotent=True))
    assert (result.content, result.is_error, len(tries)) == ("there", False, 3)
    assert [numbers["attempt"] for name, _, numbers, _ in run.events.all if name == "agent_core.tool_task.retry"] == [
        2,
        3,
    ]
    assert run.types().count("tool_execution_end") == 2


@pytest.mark.parametrize(("idempotent", "error", "count"), [(False, OSError("no"), 1), (True, OSError("no"), 3)])
def test_retries_are_bounded_and_for_idempotent_tools_only(idempotent, error, count):
    tries = []
    fn = lambda _a: (tries.append(1), raise_(error))  # noqa: E731
    result, _run = one(tool("fails"), Tool("fails", fn, Nothing, idempotent=idempotent))
    assert (result.error_type, len(tries)) == ("tool_exception", count)


def test_a_refusal_is_not_tried_again():
    tries = []
    fn = lambda _a: (tries.append(1), raise_(ToolError("no")))  # noqa: E731
    one(tool("no"), Tool("no", fn, Nothing, idempotent=True))
    assert len(tries) == 1


def test_the_timeout_covers_all_attempts():
    client = ScriptedClient([tool("fails"), tool("end")])
    tools = [Tool("fails", lambda _a: raise_(OSError("no")), Nothing, idempotent=True, timeout=1.0), END]
    with FakeClock() as clock:
        wait = in_background(lambda: Run(client, tools, limits=Limits(max_iterations=3, tool_retries=1000)))
        while wait.alive():
            if clock.waiters(within=2.0):
                clock.advance(0.05)
            else:
                time.sleep(0)
        run = wait()
    assert run.kinds()[0] == "tool_task_timeout"


def test_partial_results_are_told_until_the_result_is_there_and_not_after():
    late = []
    done = threading.Event()

    def work(_arguments, on_update):
        on_update("half")
        late.append(on_update)
        return "whole"

    def after(_arguments):
        late[0]("too late")
        done.set()
        return "over"

    client = ScriptedClient([tool("work"), tool("after")])
    run = Run(client, [Tool("work", work, Nothing), Tool("after", after, Nothing, ends_run=True)])
    updates = [event for event in run.told if event.type == "tool_execution_update"]
    assert [(event.tool_name, event.partial) for event in updates] == [("work", "half")]
    types = run.types()
    assert (
        types.index("tool_execution_start") < types.index("tool_execution_update") < types.index("tool_execution_end")
    )


def test_a_name_with_other_white_space_is_understood_and_told():
    result, run = one(ToolCall("c", "  add\n", {"value": 1}), ADD)
    assert not result.is_error
    assert run.events.of("agent_core.tool_call.name_normalized")[0]["matched_tool_name"] == "add"


def test_two_calls_with_one_id_get_an_id_each():
    client = ScriptedClient([lambda _r: _two("same"), tool("end")])
    run = Run(client)
    ids = [output.call_id for output in outputs(client)]
    assert len(set(ids)) == 2
    assert run.outcome.stopped_by == "end"


def _two(call_id):
    return Completion(tool_calls=(ToolCall(call_id, "add", {"value": 1}), ToolCall(call_id, "add", {"value": 2})))


def _wrapped(fn):
    @functools.wraps(fn)
    def call(*args, **options):
        return fn(*args, **options)

    return call


def _takes(_arguments, *, abort, call_id):
    return abort, call_id


class _Taking:
    def method(self, _arguments, on_update):
        return on_update

    def __call__(self, _arguments, call_id):
        return call_id


@pytest.mark.parametrize(
    ("fn", "taken"),
    [
        (_takes, {"abort", "call_id"}),
        (_wrapped(_takes), {"abort", "call_id"}),
        (functools.partial(_takes, abort=None), {"abort", "call_id"}),
        (_Taking().method, {"on_update"}),
        (_Taking(), {"call_id"}),
        (lambda _arguments: None, set()),
        (lambda _arguments, **abort: abort, set()),
        (print, set()),
    ],
    ids=["function", "wrapped", "partial", "method", "object", "lambda", "keywords", "built in"],
)
def test_what_else_a_tool_takes_is_seen_whatever_kind_of_callable_it_is(fn, taken):
    assert extra_parameters(fn) == taken


def test_nothing_remembers_the_functions_of_a_run_that_is_over():
    def make():
        held = _Taking()
        return (lambda _arguments: held), weakref.ref(held)

    fn, held = make()
    extra_parameters(fn)
    del fn
    gc.collect()
    assert held() is None
