"""The real SDK against a server on loopback."""

from __future__ import annotations

import threading

import pytest

from beamlens.errors import LLMError
from beamlens.llm.anthropic import AnthropicAPI, Sampling
from beamlens.llm.client import INCOMPLETE, Message, Request, Text, ToolCall, ToolOutput, ToolSpec
from beamlens.llm.failures import retry_after
from beamlens.llm.provider import Backoff, ProviderClient
from beamlens_actors import Aborted, AbortSignal
from beamlens_actors.testing import FakeClock
from tests.support.messages_api import MessagesAPI, Reply, error, message, text, tool_use

KEY = "sk-ant-a-key-that-must-not-show"
TOOLS = (ToolSpec("wait", "Sleeps.", {"type": "object", "properties": {"ms": {"type": "integer"}}}),)


@pytest.fixture
def call():
    made = []

    def make(api, request=None, abort=None, retries=2):
        client = ProviderClient(AnthropicAPI(api_key=KEY, base_url=api.base_url), backoff=Backoff(retries, 0.001))
        made.append(client)
        asked = request or Request("You watch.", (Message.user("Look."),), TOOLS, timeout=10.0)
        return client.complete(asked, abort=abort or AbortSignal())

    yield make
    for client in made:
        client.close()


def test_a_tool_call_comes_back_with_its_usage_and_model(call):
    with MessagesAPI(message(tool_use("wait", ms=5), cache_read_input_tokens=7)) as api:
        completion = call(api)
    assert completion.tool_calls == (ToolCall("toolu_1", "wait", {"ms": 5}),)
    assert completion.stop_reason == "tool_use"
    assert completion.model == "claude-haiku-4-5-20251001"
    assert (completion.usage.input_tokens, completion.usage.cache_read_tokens) == (100, 7)


def test_parallel_tool_calls_keep_their_order(call):
    with MessagesAPI(message(text("both"), tool_use("a", "t1"), tool_use("b", "t2"))) as api:
        completion = call(api)
    assert completion.text == "both"
    assert [tool_call.name for tool_call in completion.tool_calls] == ["a", "b"]


def test_the_request_carries_system_tools_and_the_whole_conversation(call):
    conversation = (
        Message.user("Look."),
        Message("assistant", (Text("I do."), ToolCall("t1", "wait", {"ms": 1}))),
        Message("user", (ToolOutput("t1", "no such thing", is_error=True),)),
    )
    with MessagesAPI(message(text("ok"))) as api:
        call(api, Request("You watch.", conversation, TOOLS))
    sent = api.requests[0]
    assert sent["system"] == [{"type": "text", "text": "You watch.", "cache_control": {"type": "ephemeral"}}]
    assert sent["tools"][0]["input_schema"] == TOOLS[0].parameters
    assert sent["messages"][1]["content"][1] == {"type": "tool_use", "id": "t1", "name": "wait", "input": {"ms": 1}}
    assert sent["messages"][2]["content"][0]["is_error"] is True
    assert sent["model"] == "claude-haiku-4-5-20251001"
    assert KEY in " ".join(api.headers[0].values())


def test_what_is_set_for_a_model_is_sent():
    with MessagesAPI(message(text("ok"))) as api:
        sampling = Sampling("claude-opus-4-6", max_tokens=9, temperature=0.5)
        client = ProviderClient(AnthropicAPI(sampling, api_key=KEY, base_url=api.base_url))
        client.complete(Request("", (Message.user("u"),)), abort=AbortSignal())
        client.close()
    sent = api.requests[0]
    assert (sent["model"], sent["max_tokens"], sent["temperature"]) == ("claude-opus-4-6", 9, 0.5)


@pytest.mark.parametrize(
    "failure",
    [
        error(429, "rate_limit_error", "slow down", retry_after="0"),
        error(529, "overloaded_error", "busy"),
        error(500, "api_error", "oops"),
        Reply(drop=True),
        Reply(body=message(text("half")).body, half=True),
    ],
    ids=["429", "529", "500", "drop", "half"],
)
def test_what_may_pass_is_tried_again(call, failure):
    with MessagesAPI(failure, message(text("ok"))) as api:
        assert call(api).text == "ok"
    assert len(api.requests) == 2


@pytest.mark.parametrize(
    ("failure", "kind", "calls"),
    [
        (error(429, "rate_limit_error", "slow down", retry_after="0"), "rate_limit", 3),
        (error(529, "overloaded_error", "busy"), "overloaded", 3),
        (error(401, "authentication_error", "invalid x-api-key"), "authentication", 1),
        (error(400, "invalid_request_error", "too long"), "invalid_request", 1),
    ],
)
def test_what_does_not_pass_is_an_error_that_says_how(call, failure, kind, calls):
    with MessagesAPI(failure) as api, pytest.raises(LLMError) as caught:
        call(api)
    assert caught.value.kind == kind
    assert len(api.requests) == calls
    assert failure.body["error"]["message"] in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_retry_that_would_pass_the_timeout_is_not_waited_for(call):
    request = Request("s", (Message.user("u"),), timeout=5.0)
    later = error(429, "rate_limit_error", "later", retry_after="3600")
    with MessagesAPI(later) as api, pytest.raises(LLMError) as caught:
        call(api, request)
    assert caught.value.kind == "rate_limit"
    assert len(api.requests) == 1


def test_a_slow_answer_is_a_timeout(call):
    request = Request("s", (Message.user("u"),), timeout=0.2)
    with MessagesAPI(Reply(body={}, hold=threading.Event())) as api, pytest.raises(LLMError) as caught:
        call(api, request)
    assert caught.value.kind == "timeout"


def test_an_answer_that_is_no_json_is_a_response_error(call):
    with MessagesAPI(Reply(raw=b"<html>")) as api, pytest.raises(LLMError) as caught:
        call(api)
    assert caught.value.kind == "response"


def test_tool_input_that_is_no_object_comes_through_for_validation_to_refuse(call):
    block = {"type": "tool_use", "id": "t", "name": "wait", "input": "soon"}
    with MessagesAPI(message(block)) as api:
        assert call(api).tool_calls[0].arguments == "soon"


def test_an_aborted_call_is_not_sent(call):
    abort = AbortSignal()
    abort.abort()
    with MessagesAPI(message(text("ok"))) as api, pytest.raises(Aborted):
        call(api, abort=abort)
    assert api.requests == []


def test_aborting_ends_a_call_in_flight_at_once(call):
    abort, held, outcome = AbortSignal(), threading.Event(), []

    def ask(api):
        with pytest.raises(Aborted) as caught:
            call(api, Request("", (Message.user("Look."),), timeout=3600.0), abort)
        outcome.append(caught.value)

    with MessagesAPI(Reply(hold=held)) as api:
        thread = threading.Thread(target=ask, args=(api,))
        thread.start()
        assert api.arrived.acquire(timeout=10)
        abort.abort("enough")
        thread.join(20)  # the server holds its answer for longer
        assert len(outcome) == 1
    assert len(api.requests) == 1


def test_an_answer_that_trickles_in_ends_with_the_timeout(call):
    with MessagesAPI(Reply(trickle=True)) as api, pytest.raises(LLMError) as caught:
        call(api, Request("", (Message.user("Look."),), timeout=0.3))
    assert (caught.value.kind, caught.value.retryable) == ("timeout", True)


def test_each_call_has_a_connection_of_its_own(call):
    with MessagesAPI(message(text("ok"))) as api:
        call(api)
    assert api.headers[0]["connection"] == "close"


def test_neither_an_error_nor_what_it_drags_along_holds_the_key(call):
    refusal = error(400, "invalid_request_error", f"no such thing: {KEY}\nmore")
    with MessagesAPI(refusal) as api, pytest.raises(LLMError) as caught:
        call(api)
    assert str(caught.value) == "the provider answered 400: no such thing: [key]"
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_cut_off_tool_call_is_for_validation_to_refuse(call):
    reply = message(tool_use("a", "t1", whole=1), tool_use("b", "t2", half=1), stop_reason="max_tokens")
    with MessagesAPI(reply) as api:
        completion = call(api)
    assert completion.tool_calls == (ToolCall("t1", "a", {"whole": 1}), ToolCall("t2", "b", INCOMPLETE))


def test_no_text_is_empty_and_results_come_first(call):
    conversation = (Message("user", (Text(" "), Text("and"), ToolOutput("t1", "1"))), Message("assistant", (Text(""),)))
    with MessagesAPI(message(text("ok"))) as api:
        call(api, Request(" ", conversation))
    sent = api.requests[0]
    assert "system" not in sent
    assert [block["type"] for block in sent["messages"][0]["content"]] == ["tool_result", "text"]
    assert sent["messages"][1]["content"] == [{"type": "text", "text": "(nothing)"}]


def test_an_answer_that_is_no_message_is_a_response_error(call):
    with MessagesAPI(Reply(body={"type": "other"})) as api, pytest.raises(LLMError) as caught:
        call(api, retries=0)
    assert (caught.value.kind, caught.value.retryable) == ("response", True)


def test_a_refusal_is_an_error_that_is_not_tried_again(call):
    with MessagesAPI(message(stop_reason="refusal")) as api, pytest.raises(LLMError, match="refused") as caught:
        call(api)
    assert (caught.value.kind, caught.value.retryable, len(api.requests)) == ("response", False, 1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "9"}, 9.0),
        ({"retry-after": "-9"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 -0000"}, 0.0),
    ],
)
def test_what_a_server_asks_to_wait_is_understood(headers, seconds):
    with FakeClock(epoch=30.0):
        assert retry_after(headers) == seconds


@pytest.mark.parametrize("key", ["a key", "schlüssel", "two\nlines"])
def test_what_cannot_be_a_key_is_refused_without_showing_it(key):
    with pytest.raises(LLMError) as caught:
        ProviderClient(AnthropicAPI(api_key=key)).complete(Request("", ()), abort=AbortSignal())
    assert caught.value.kind == "authentication"
    assert key not in str(caught.value)


def test_without_a_key_the_error_names_it():
    client = ProviderClient(AnthropicAPI())
    with pytest.raises(LLMError) as caught:
        client.complete(Request("s", (Message.user("u"),)), abort=AbortSignal())
    client.close()
    assert caught.value.kind == "authentication"
    assert not caught.value.retryable
