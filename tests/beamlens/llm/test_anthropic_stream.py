"""The real SDK, streaming, against a server on loopback."""

from __future__ import annotations

import json
import threading

import pytest

from beamlens.errors import LLMError
from beamlens.llm import anthropic_clouds as clouds
from beamlens.llm.anthropic import AnthropicAPI, Sampling
from beamlens.llm.client import INCOMPLETE, Message, Request, ToolCall, Usage
from beamlens.llm.deltas import Delta
from beamlens.llm.provider import Backoff, ProviderClient
from beamlens_actors import Aborted, AbortSignal
from beamlens_actors.testing import FakeClock
from tests.support.heard import Heard, error_of
from tests.support.loops import in_background
from tests.support.messages_api import MessagesAPI, Reply, error, message, streamed, text, thinking, tool_use
from tests.support.sse import Trouble, as_aws, aws_exception, event

KEY = "sk-ant-a-key-that-must-not-show"
ASKED = Request("You watch.", (Message.user("Look."),), timeout=10.0)
LONG = Request("You watch.", (Message.user("Look."),), timeout=3600.0)
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def call(heard):
    made = []

    def make(server, request=ASKED, abort=None, api=None):
        client = ProviderClient(api or AnthropicAPI(api_key=KEY, base_url=server.base_url), backoff=Backoff(2, 0.001))
        made.append(client)
        return client.complete(request, abort=abort or AbortSignal(), on_delta=heard)

    yield make
    for client in made:
        client.close()


def test_words_are_told_as_they_come_and_the_completion_is_as_without_a_stream(call, heard):
    content, usage = text("It is all fine today."), {"input_tokens": 90, "cache_read_input_tokens": 7}
    with MessagesAPI(streamed(content, **usage), message(content, **usage)) as server:
        completion = call(server)
        plain = ProviderClient(AnthropicAPI(api_key=KEY, base_url=server.base_url))
        whole = plain.complete(ASKED, abort=AbortSignal())
        plain.close()
    assert [delta.text for delta in heard] == ["It is", " all ", "fine ", "today", "."]
    assert {delta.kind for delta in heard} == {"text"}
    assert (completion.text, completion.stop_reason, completion.model) == (whole.text, "end_turn", whole.model)
    assert completion.usage == whole.usage == Usage(90, 20, 7)
    assert server.requests[0] == {**server.requests[1], "stream": True}


def test_thoughts_and_parallel_calls_are_told_apart(call, heard):
    content = thinking("Hm, memory."), text("Both."), tool_use("a", "t1", ms=5), tool_use("b", "t2", why="grew")
    with MessagesAPI(streamed(*content)) as server:
        completion = call(server)
    assert heard.of("thinking") == "Hm, memory."
    assert heard.of("text") == completion.text == "Both."
    assert [heard.of("tool_call", index) for index in (0, 1)] == ['{"ms": 5}', '{"why": "grew"}']
    begun = [delta for delta in heard if delta.kind == "tool_call" and not delta.text]
    assert begun == [Delta("tool_call", "", 0, "t1", "a"), Delta("tool_call", "", 1, "t2", "b")]
    assert completion.tool_calls == (ToolCall("t1", "a", {"ms": 5}), ToolCall("t2", "b", {"why": "grew"}))
    assert completion.stop_reason == "tool_use"


def test_the_words_of_several_blocks_are_told_as_the_completion_joins_them(call, heard):
    with MessagesAPI(streamed(text("One."), text(""), text("Two."))) as server:
        assert call(server).text == heard.of("text") == "One.\nTwo."


def test_a_call_without_arguments_has_none(call):
    with MessagesAPI(streamed(tool_use("done"))) as server:
        assert call(server).tool_calls == (ToolCall("toolu_1", "done", {}),)


def test_arguments_that_are_no_json_come_through_for_validation_to_refuse(call):
    block = {"type": "tool_use", "id": "t", "name": "wait", "input": '{"ms": 5'}
    with MessagesAPI(streamed(block)) as server:
        assert call(server).tool_calls == (ToolCall("t", "wait", '{"ms": 5'),)


def test_a_cut_off_tool_call_is_for_validation_to_refuse(call):
    with MessagesAPI(streamed(tool_use("a", "t1", whole=1), stop_reason="max_tokens")) as server:
        assert call(server).tool_calls == (ToolCall("t1", "a", INCOMPLETE),)


def test_a_refusal_in_the_middle_is_an_error_that_is_not_tried_again(call):
    with MessagesAPI(streamed(text("Well"), stop_reason="refusal")) as server, pytest.raises(LLMError) as caught:
        call(server)
    assert (caught.value.kind, caught.value.retryable, len(server.requests)) == ("response", False, 1)


@pytest.mark.parametrize(
    ("trouble", "kind", "says"),
    [
        (Trouble.RESET, "connection", "the connection failed"),
        (Trouble.END, "connection", "broke off"),
        (OVERLOADED, "overloaded", "the provider answered 529 in the middle of its answer: Overloaded"),
        (b'event: content_block_delta\ndata: {"type": "content\n\n', "response", "cannot be read"),
        (event("content_block_delta", index=9, delta={"type": "text_delta", "text": "?"}), "response", "read"),
    ],
    ids=["reset", "end", "overloaded", "no json", "no such block"],
)
def test_what_breaks_an_answer_off_is_an_error_that_the_caller_may_try_again(call, heard, trouble, kind, says):
    reply = streamed(text("It is all fine today."))
    reply.steps[5:] = [trouble]
    with MessagesAPI(reply) as server, pytest.raises(LLMError, match=says) as caught:
        call(server)
    assert (caught.value.kind, caught.value.retryable) == (kind, True)
    assert heard.of("text") == "It is all "
    assert len(server.requests) == 1  # what was told cannot be taken back
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.parametrize(
    "failure",
    [
        error(529, "overloaded_error", "busy"),
        Reply(drop=True),
        Reply(steps=[Trouble.END]),
        Reply(steps=[Trouble.RESET]),
        Reply(steps=[event("ping"), OVERLOADED]),
    ],
    ids=["529", "drop", "empty", "reset", "overloaded"],
)
def test_what_fails_before_anything_was_told_is_tried_again(call, heard, failure):
    with MessagesAPI(failure, streamed(text("ok"))) as server:
        assert call(server).text == "ok"
    assert (len(server.requests), heard.of("text")) == (2, "ok")


def test_an_error_that_does_not_pass_ends_it(call):
    broken = event("error", error={"type": "invalid_request_error", "message": f"no {KEY}"})
    with MessagesAPI(Reply(steps=[broken])) as server, pytest.raises(LLMError, match=r"no \[key\]") as caught:
        call(server)
    assert (caught.value.kind, caught.value.retryable, len(server.requests)) == ("invalid_request", False, 1)


@pytest.mark.parametrize("trouble", [Trouble.SILENCE, Trouble.DRIP])
def test_half_an_answer_ends_with_the_timeout_and_its_connection(call, heard, trouble):
    reply = streamed(text("It is all fine today."))
    reply.steps[5:] = [trouble]
    with FakeClock() as clock, MessagesAPI(reply) as server:
        wait = in_background(lambda: error_of(call, server, LONG))
        assert heard.first.wait(30)
        clock.advance(LONG.timeout)
        error = wait()
        assert reply.left.wait(10)
    assert (error.kind, error.retryable) == ("timeout", True)
    assert heard.of("text").startswith("It is")


@pytest.mark.parametrize("trouble", [Trouble.SILENCE, Trouble.DRIP])
def test_aborting_closes_the_connection_at_once(call, heard, trouble):
    abort, outcome = AbortSignal(), []
    reply = streamed(text("It is all fine today."))
    reply.steps[5:] = [trouble]

    def ask(server):
        with pytest.raises(Aborted) as caught:
            call(server, Request("", (Message.user("Look."),), timeout=3600.0), abort)
        outcome.append(caught.value)

    with MessagesAPI(reply) as server:
        thread = threading.Thread(target=ask, args=(server,))
        thread.start()
        assert heard.first.wait(10)
        abort.abort("enough")
        assert reply.left.wait(10)
        thread.join(10)
    assert len(outcome) == 1
    assert len(server.requests) == 1


def test_aborting_from_the_listener_ends_it(call, heard):
    abort = AbortSignal()
    heard.first.set = lambda: abort.abort("seen enough")
    reply = streamed(text("It is all fine today."))
    reply.steps[5:] = [Trouble.SILENCE]
    with MessagesAPI(reply) as server:
        with pytest.raises(Aborted):
            call(server, abort=abort)
        assert reply.left.wait(10)
    assert heard.of("text") == "It is"


def test_what_the_listener_raises_ends_the_call_and_is_no_failure_of_the_provider(call, heard):
    heard.first.set = lambda: {}["nothing"]
    reply = streamed(text("It is all fine today."))
    reply.steps[5:] = [Trouble.SILENCE]
    with MessagesAPI(reply) as server:
        with pytest.raises(KeyError, match="nothing"):
            call(server)
        assert reply.left.wait(10)
    assert (heard.of("text"), len(server.requests)) == ("It is", 1)


def bedrock(server):
    sampling = Sampling("anthropic.claude-haiku")
    return clouds.bedrock(sampling, region="eu-central-1", bearer_token=KEY, base_url=server.base_url)


def vertex(server):
    url = f"{server.base_url}/v1"
    return clouds.vertex(Sampling("claude"), location="global", project_id="p", access_token=KEY, base_url=url)


def test_bedrock_streams_in_its_own_frames(call, heard):
    reply = streamed(text("Fine."), tool_use("wait", ms=5), cache_read_input_tokens=7)
    reply.steps, reply.headers = as_aws(reply.steps), {"content-type": "application/vnd.amazon.eventstream"}
    with MessagesAPI(reply) as server:
        completion = call(server, api=bedrock(server))
    assert server.paths == ["/model/anthropic.claude-haiku/invoke-with-response-stream"]
    assert (heard.of("text"), heard.of("tool_call")) == ("Fine.", json.dumps({"ms": 5}))
    assert completion.tool_calls == (ToolCall("toolu_1", "wait", {"ms": 5}),)
    assert (completion.model, completion.usage) == ("aws-bedrock/anthropic.claude-haiku", Usage(100, 20, 7))


def test_bedrocks_errors_in_the_middle_are_understood(call):
    reply = streamed(text("It is all fine today."))
    reply.steps, reply.headers = as_aws(reply.steps), {"content-type": "application/vnd.amazon.eventstream"}
    reply.steps[5:] = [aws_exception("throttlingException", "Too many tokens")]
    with MessagesAPI(reply) as server, pytest.raises(LLMError, match="Too many tokens") as caught:
        call(server, api=bedrock(server))
    assert (caught.value.kind, caught.value.retryable) == ("rate_limit", True)


def test_vertex_streams(call, heard):
    with MessagesAPI(streamed(text("Fine."))) as server:
        completion = call(server, api=vertex(server))
    assert server.paths[0].endswith("/publishers/anthropic/models/claude:streamRawPredict")
    assert (heard.of("text"), completion.model) == ("Fine.", "vertex-ai/claude")
