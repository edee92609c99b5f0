"""The real SDK of OpenAI, streaming, against a server on loopback."""

from __future__ import annotations

import threading

import pytest

from beamlens.errors import LLMError
from beamlens.llm import openai
from beamlens.llm.client import INCOMPLETE, Message, Request, ToolCall, Usage
from beamlens.llm.deltas import Delta
from beamlens.llm.provider import Backoff, ProviderClient
from beamlens_actors import Aborted, AbortSignal
from beamlens_actors.testing import FakeClock
from tests.support.chat_api import ChatServer, answer, error, in_stream, streamed
from tests.support.chat_api import call as tool_call
from tests.support.heard import Heard, error_of
from tests.support.loops import in_background
from tests.support.messages_api import Reply
from tests.support.sse import DONE, Trouble, chunk

KEY = "sk-a-key-that-must-not-show"
ASKED = Request("You watch.", (Message.user("Look."),), timeout=10.0)
LONG = Request("You watch.", (Message.user("Look."),), timeout=3600.0)
UPSTREAM = chunk({"error": {"code": 502, "message": "upstream"}})


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def client():
    made = []

    def make(server, dialect=openai.OPENAI, model="gpt-4o-mini"):
        api = openai.ChatAPI(openai.Chat(model), dialect, api_key=KEY, base_url=server.base_url)
        made.append(ProviderClient(api, backoff=Backoff(2, 0.001)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def call(client, heard):
    def ask(server, request=ASKED, abort=None, **options):
        return client(server, **options).complete(request, abort=abort or AbortSignal(), on_delta=heard)

    return ask


def test_words_are_told_as_they_come_and_the_completion_is_as_without_a_stream(call, client, heard):
    usage = {"prompt_tokens_details": {"cached_tokens": 60}}
    said = "It is all fine today."
    with ChatServer(streamed(said, **usage), answer(said, **usage)) as server:
        completion = call(server)
        whole = client(server).complete(ASKED, abort=AbortSignal())
    assert [delta.text for delta in heard] == ["It is", " all ", "fine ", "today", "."]
    assert (completion.text, completion.stop_reason, completion.model) == (whole.text, "end_turn", whole.model)
    assert completion.usage == whole.usage == Usage(40, 20, 60)
    added = {"stream": True, "stream_options": {"include_usage": True}}
    assert server.requests[0] == {**server.requests[1], **added}


def test_thoughts_and_parallel_calls_are_told_apart(call, heard):
    calls = tool_call("a", "t1", ms=5), tool_call("b", "t2", why="grew")
    with ChatServer(streamed("Both.", *calls, thoughts="Hm, memory.")) as server:
        completion = call(server)
    assert (heard.of("thinking"), heard.of("text")) == ("Hm, memory.", "Both.")
    assert [heard.of("tool_call", index) for index in (0, 1)] == ['{"ms": 5}', '{"why": "grew"}']
    begun = [delta for delta in heard if delta.kind == "tool_call" and not delta.text]
    assert begun == [Delta("tool_call", "", 0, "t1", "a"), Delta("tool_call", "", 1, "t2", "b")]
    assert completion.tool_calls == (ToolCall("t1", "a", {"ms": 5}), ToolCall("t2", "b", {"why": "grew"}))
    assert completion.stop_reason == "tool_use"


@pytest.mark.parametrize("index", [{"index": 0}, {}], ids=["one index for all", "no index"])
def test_calls_are_told_apart_by_their_ids_where_their_index_does_not(call, heard, index):
    deltas = [{"tool_calls": [{**tool_call("look", call_id, n=n), **index}]} for n, call_id in enumerate(["t1", "t2"])]
    reply = Reply(steps=[*map(in_stream, deltas), in_stream({}, "tool_calls"), DONE])
    with ChatServer(reply) as server:
        completion = call(server)
    assert completion.tool_calls == (ToolCall("t1", "look", {"n": 0}), ToolCall("t2", "look", {"n": 1}))
    assert heard.of("tool_call", 1) == '{"n": 1}'


def test_a_call_that_repeats_its_id_in_each_piece_is_one(call):
    first, second = ({**tool_call("look", "t1", part), "index": 0} for part in ('{"n":', " 1}"))
    reply = Reply(steps=[in_stream({"tool_calls": [one]}) for one in (first, second)])
    reply.steps += [in_stream({}, "tool_calls"), DONE]
    with ChatServer(reply) as server:
        assert call(server).tool_calls == (ToolCall("t1", "look", {"n": 1}),)


def test_googles_signature_comes_through_a_stream(call):
    signed = {**tool_call("wait", "t1"), "extra_content": {"google": {"thought_signature": "abc"}}}
    with ChatServer(streamed(None, signed)) as server:
        (found,) = call(server, dialect=openai.GOOGLE, model="gemini-3-flash").tool_calls
    assert found.opaque == {"google-ai": signed["extra_content"]}


@pytest.mark.parametrize(
    ("raw", "arguments"), [("{not json", "{not json"), ("[1]", [1]), ("", {})], ids=["half", "list", "empty"]
)
def test_malformed_arguments_come_through_for_validation_to_refuse(call, raw, arguments):
    with ChatServer(streamed(None, tool_call("wait", "t", raw))) as server:
        assert call(server).tool_calls[0].arguments == arguments


def test_a_cut_off_tool_call_is_for_validation_to_refuse(call):
    with ChatServer(streamed(None, tool_call("a", "t1", whole=1), finish="length")) as server:
        assert call(server).tool_calls == (ToolCall("t1", "a", INCOMPLETE),)


def test_a_refusal_is_an_error_that_is_not_tried_again(call):
    with (
        ChatServer(streamed(None, refusal="I will not.")) as server,
        pytest.raises(LLMError, match="refused") as caught,
    ):
        call(server)
    assert (caught.value.kind, caught.value.retryable, len(server.requests)) == ("response", False, 1)


@pytest.mark.parametrize(
    ("trouble", "kind", "says"),
    [
        (Trouble.RESET, "connection", "the connection failed"),
        (Trouble.END, "connection", "broke off"),
        (DONE, "connection", "broke off"),
        (UPSTREAM, "server", "the provider answered 502 in the middle of its answer: upstream"),
        (chunk({"error": {"type": "overloaded_error", "message": "busy"}}), "overloaded", "529 .* busy"),
        (b'data: {"choices": [\n\n', "response", "cannot be read"),
    ],
    ids=["reset", "end", "done", "upstream", "overloaded", "no json"],
)
def test_what_breaks_an_answer_off_is_an_error_that_the_caller_may_try_again(call, heard, trouble, kind, says):
    reply = streamed("It is all fine today.")
    reply.steps[3:] = [trouble]
    with ChatServer(reply) as server, pytest.raises(LLMError, match=says) as caught:
        call(server)
    assert (caught.value.kind, caught.value.retryable) == (kind, True)
    assert heard.of("text") == "It is all "
    assert len(server.requests) == 1  # what was told cannot be taken back
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.parametrize(
    "failure",
    [
        error(429, "slow down", retry_after="0"),
        Reply(steps=[Trouble.RESET]),
        Reply(steps=[DONE]),
        Reply(steps=[UPSTREAM]),
    ],
    ids=["429", "reset", "empty", "upstream"],
)
def test_what_fails_before_anything_was_told_is_tried_again(call, heard, failure):
    with ChatServer(failure, streamed("ok")) as server:
        assert call(server).text == "ok"
    assert (len(server.requests), heard.of("text")) == (2, "ok")


def test_a_spent_account_is_not_asked_again(call):
    spent = chunk({"error": {"code": "insufficient_quota", "message": "no credit"}})
    with ChatServer(Reply(steps=[spent])) as server, pytest.raises(LLMError, match="no credit") as caught:
        call(server)
    assert (caught.value.kind, caught.value.retryable, len(server.requests)) == ("rate_limit", False, 1)


@pytest.mark.parametrize("trouble", [Trouble.SILENCE, Trouble.DRIP])
def test_half_an_answer_ends_with_the_timeout_and_its_connection(call, heard, trouble):
    reply = streamed("It is all fine today.")
    reply.steps[3:] = [trouble]
    with FakeClock() as clock, ChatServer(reply) as server:
        wait = in_background(lambda: error_of(call, server, LONG))
        assert heard.first.wait(30)
        clock.advance(LONG.timeout)
        error = wait()
        assert reply.left.wait(10)
    assert (error.kind, error.retryable) == ("timeout", True)
    assert heard.of("text").startswith("It is")


def test_aborting_closes_the_connection_at_once(call, heard):
    abort, outcome = AbortSignal(), []
    reply = streamed("It is all fine today.")
    reply.steps[3:] = [Trouble.SILENCE]

    def ask(server):
        with pytest.raises(Aborted) as caught:
            call(server, Request("", (Message.user("u"),), timeout=3600.0), abort)
        outcome.append(caught.value)

    with ChatServer(reply) as server:
        thread = threading.Thread(target=ask, args=(server,))
        thread.start()
        assert heard.first.wait(10)
        abort.abort("enough")
        assert reply.left.wait(10)
        thread.join(10)
    assert len(outcome) == 1


def test_a_server_that_answers_at_once_is_understood(call, heard):
    with ChatServer(answer("ok", tool_call("wait", "t", ms=5))) as server:
        completion = call(server)
    assert (completion.text, completion.tool_calls) == ("ok", (ToolCall("t", "wait", {"ms": 5}),))
    assert completion.usage == Usage(100, 20)
    assert heard == []


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_refuses_to_stream_is_asked_without_from_then_on(client, heard, status):
    refusal = error(status, "Your organization must be verified to stream this model.")
    with ChatServer(refusal, answer("ok")) as server:
        asked = client(server)
        found = [asked.complete(ASKED, abort=AbortSignal(), on_delta=heard).text for _ in range(2)]
    assert found == ["ok", "ok"]
    assert ["stream" in request for request in server.requests] == [True, False, False]
    assert heard == []


def test_another_refusal_is_an_error(call):
    with ChatServer(error(400, "too long")) as server, pytest.raises(LLMError, match="too long"):
        call(server)
    assert len(server.requests) == 1
