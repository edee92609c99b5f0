"""The real SDK of OpenAI against a server on loopback."""

from __future__ import annotations

import threading

import pytest

from beamlens.errors import LLMError
from beamlens.llm import openai
from beamlens.llm.client import INCOMPLETE, Message, Request, Text, ToolCall, ToolOutput, ToolSpec, Usage
from beamlens.llm.provider import Backoff, ProviderClient
from beamlens_actors import Aborted, AbortSignal
from tests.support.chat_api import ChatServer, answer, error
from tests.support.chat_api import call as tool_call
from tests.support.messages_api import Reply

KEY = "sk-a-key-that-must-not-show"
TOOLS = (ToolSpec("wait", "Sleeps.", {"type": "object", "properties": {"ms": {"type": "integer"}}}),)
ASKED = Request("You watch.", (Message.user("Look."),), TOOLS, timeout=10.0)
DIALECTS = {
    "openai": openai.OPENAI,
    "openai-generic": openai.GENERIC,
    "ollama": openai.OLLAMA,
    "openrouter": openai.OPENROUTER,
    "google-ai": openai.GOOGLE,
}


@pytest.fixture
def call():
    made = []

    def make(server, request=ASKED, abort=None, retries=2, dialect=openai.OPENAI, azure=None, **chat):
        settings = openai.Chat(**{"model": "gpt-4o-mini", **chat})
        api = openai.ChatAPI(settings, dialect, api_key=KEY, base_url=server.base_url, azure=azure)
        made.append(ProviderClient(api, backoff=Backoff(retries, 0.001)))
        return made[-1].complete(request, abort=abort or AbortSignal())

    yield make
    for client in made:
        client.close()


def test_a_tool_call_comes_back_with_its_usage_and_model(call):
    usage = {"prompt_tokens_details": {"cached_tokens": 60}}
    with ChatServer(answer(None, tool_call("wait", ms=5), **usage)) as server:
        completion = call(server)
    assert completion.tool_calls == (ToolCall("call_1", "wait", {"ms": 5}),)
    assert completion.stop_reason == "tool_use"
    assert completion.model == "gpt-4o-mini-2024-07-18"
    assert completion.usage == Usage(40, 20, 60, 0)
    assert completion.latency > 0


def test_tokens_that_were_written_to_the_cache_are_counted_apart(call):
    usage = {"prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 30}}
    with ChatServer(answer("ok", **usage)) as server:
        assert call(server).usage == Usage(60, 20, 10, 30)


def test_thoughts_that_only_the_total_counts_are_output(call):
    with ChatServer(answer("ok", total_tokens=500)) as server:
        assert call(server).usage == Usage(100, 400)


def test_an_answer_without_usage_counts_nothing(call):
    reply = answer("ok")
    del reply.body["usage"]
    with ChatServer(reply) as server:
        assert call(server).usage == Usage()


def test_parallel_tool_calls_keep_their_order(call):
    with ChatServer(answer("both", tool_call("a", "t1"), tool_call("b", "t2"))) as server:
        completion = call(server)
    assert completion.text == "both"
    assert [(one.id, one.name) for one in completion.tool_calls] == [("t1", "a"), ("t2", "b")]


def test_calls_without_an_id_of_their_own_get_one(call):
    with ChatServer(answer(None, tool_call("a", ""), tool_call("b", "t"), tool_call("c", "t"))) as server:
        ids = [one.id for one in call(server).tool_calls]
    assert ids[1] == "t"
    assert len(set(ids)) == 3
    assert all(ids)


def test_the_request_carries_system_tools_and_the_whole_conversation(call):
    conversation = (
        Message.user("Look."),
        Message("assistant", (Text("I do."), ToolCall("t1", "wait", {"ms": 1}), ToolCall("t2", "wait", "soon"))),
        Message("user", (Text("Go on."), ToolOutput("t1", "done"), ToolOutput("t2", "no such thing", is_error=True))),
    )
    with ChatServer(answer("ok")) as server:
        call(server, Request("You watch.", conversation, TOOLS, max_tokens=77))
    sent = server.requests[0]
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert server.headers[0]["connection"] == "close"
    assert (sent["model"], sent["max_completion_tokens"]) == ("gpt-4o-mini", 77)
    assert sent["tools"][0]["function"] == {
        "name": "wait",
        "description": "Sleeps.",
        "parameters": {"type": "object", "properties": {"ms": {"type": "integer"}}},
    }
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "tool", "tool", "user"]
    assert sent["messages"][2]["tool_calls"][0] == tool_call("wait", "t1", ms=1)
    assert sent["messages"][2]["tool_calls"][1] == tool_call("wait", "t2", invalid="soon")
    assert sent["messages"][3] == {"role": "tool", "tool_call_id": "t1", "content": "done"}
    assert sent["messages"][4]["content"] == "Error: no such thing"


def test_nothing_is_sent_that_is_empty(call):
    with ChatServer(answer("ok")) as server:
        call(server, Request(" ", (Message("user", (Text(" "),)), Message("assistant", (Text(""),)))))
    sent = server.requests[0]
    assert sent["messages"] == [
        {"role": "user", "content": "(nothing)"},
        {"role": "assistant", "content": "(nothing)"},
    ]
    assert "tools" not in sent
    assert "temperature" not in sent


def test_what_is_set_for_a_model_is_sent(call):
    chat = {"max_tokens": 9, "temperature": 0.5, "reasoning_effort": "low", "headers": {"X-Title": "watch"}}
    with ChatServer(answer("ok")) as server:
        call(server, dialect=openai.OPENROUTER, **chat)
    sent = server.requests[0]
    assert (sent["max_tokens"], sent["temperature"], sent["reasoning_effort"]) == (9, 0.5, "low")
    assert server.headers[0]["x-title"] == "watch"


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "openai"])
def test_other_platforms_name_themselves_and_learn_nothing_of_openais_account(call, monkeypatch, name):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Openai-Secret: s\nAuthorization: Bearer other")
    with ChatServer(answer("ok", model="m")) as server:
        assert call(server, dialect=DIALECTS[name], model="m").model == f"{name}/m"
    assert not [header for header in server.headers[0] if "openai-" in header]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert "max_tokens" in server.requests[0]


def test_azure_is_called_at_the_deployment_with_its_key_and_version(call):
    with ChatServer(answer("ok", tool_call("wait"))) as server:
        azure = openai.Azure(server.origin, "2024-10-21")
        completion = call(server, dialect=openai.AZURE, azure=azure, model="mine")
    assert server.paths == ["/openai/deployments/mine/chat/completions?api-version=2024-10-21"]
    assert server.headers[0]["api-key"] == KEY
    assert completion.model == "azure-openai/gpt-4o-mini-2024-07-18"


def test_a_server_without_keys_is_called_without_one(call):
    with ChatServer(answer("ok")) as server:
        api = openai.ChatAPI(openai.Chat("qwen3"), openai.OLLAMA, base_url=server.base_url)
        client = ProviderClient(api)
        assert client.complete(ASKED, abort=AbortSignal()).text == "ok"
        client.close()


def test_a_signature_goes_back_to_google_with_its_call_and_to_nobody_else(call):
    signed = {**tool_call("wait", "t1"), "extra_content": {"google": {"thought_signature": "abc"}}}
    with ChatServer(answer(None, signed)) as server:
        found = call(server, dialect=openai.GOOGLE, model="gemini-3-flash").tool_calls
    assert found == (ToolCall("t1", "wait", {}),)
    conversation = (Message.user("u"), Message("assistant", found), Message("user", (ToolOutput("t1", "1"),)))
    with ChatServer(answer("ok")) as server:
        for dialect in (openai.GOOGLE, openai.OPENAI):
            call(server, Request("", conversation), dialect=dialect, model="gemini-3-flash")
    google, other = (request["messages"][1]["tool_calls"][0] for request in server.requests)
    assert google["extra_content"] == signed["extra_content"]
    assert "extra_content" not in other


@pytest.mark.parametrize(("model", "marked"), [("gemini-3-flash", True), ("gemini-2.5-flash", False)])
def test_calls_of_another_model_are_marked_for_google_the_first_of_a_turn(call, model, marked):
    turn = Message("assistant", (ToolCall("t1", "wait", {}), ToolCall("t2", "wait", {})))
    with ChatServer(answer("ok")) as server:
        call(server, Request("", (turn,)), dialect=openai.GOOGLE, model=model)
    first, second = server.requests[0]["messages"][0]["tool_calls"]
    assert ("extra_content" in first, "extra_content" in second) == (marked, False)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (answer("ok"), "end_turn"),
        (answer("o", finish="length"), "max_tokens"),
        (answer(None, tool_call("wait"), finish="stop"), "tool_use"),
        (answer("ok", finish="eos"), "eos"),
    ],
)
def test_why_it_ended_is_said_in_one_language(call, reply, reason):
    with ChatServer(reply) as server:
        assert call(server).stop_reason == reason


@pytest.mark.parametrize(
    ("raw", "arguments"),
    [("{not json", "{not json"), ("[1]", [1]), ("", {}), ('"soon"', "soon"), ("[" * 100_000, "[" * 100_000)],
    ids=["half", "list", "empty", "text", "deep"],
)
def test_malformed_arguments_come_through_for_validation_to_refuse(call, raw, arguments):
    with ChatServer(answer(None, tool_call("wait", "t", raw))) as server:
        assert call(server).tool_calls[0].arguments == arguments


def test_a_cut_off_tool_call_is_for_validation_to_refuse(call):
    with ChatServer(answer(None, tool_call("a", "t1", whole=1), tool_call("b", "t2", h=1), finish="length")) as server:
        completion = call(server)
    assert completion.tool_calls == (ToolCall("t1", "a", {"whole": 1}), ToolCall("t2", "b", INCOMPLETE))


@pytest.mark.parametrize(
    "refusal", [answer(None, refusal="I will not."), answer(None, finish="content_filter")], ids=["refusal", "filter"]
)
def test_a_refusal_is_an_error_that_is_not_tried_again(call, refusal):
    with ChatServer(refusal) as server, pytest.raises(LLMError, match="refused") as caught:
        call(server)
    assert (caught.value.kind, caught.value.retryable, len(server.requests)) == ("response", False, 1)


@pytest.mark.parametrize(
    "failure",
    [
        error(429, "slow down", retry_after="0"),
        error(529, "busy"),
        error(500, "oops"),
        Reply(drop=True),
        Reply(body=answer("half").body, half=True),
        Reply(raw=b"<html>"),
        Reply(body={"error": {"code": 502, "message": "upstream"}}),
    ],
    ids=["429", "529", "500", "drop", "half", "html", "error in 200"],
)
def test_what_may_pass_is_tried_again(call, failure):
    with ChatServer(failure, answer("ok")) as server:
        assert call(server).text == "ok"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("failure", "kind", "calls"),
    [
        (error(429, "slow down", retry_after="0"), "rate_limit", 3),
        (error(429, "no credit", "insufficient_quota"), "rate_limit", 1),
        (error(529, "busy"), "overloaded", 3),
        (error(503, "oops"), "server", 3),
        (error(401, f"Incorrect API key provided: {KEY}"), "authentication", 1),
        (error(402, "no credit"), "authentication", 1),
        (error(404, "no such model"), "invalid_request", 1),
        (Reply(drop=True), "connection", 3),
        (Reply(body=answer("half").body, half=True), "connection", 3),
        (Reply(body={"object": "other"}), "response", 3),
        (Reply(body={"error": {"code": 402, "message": "no credit"}}), "authentication", 1),
        (Reply(400, [{"error": {"code": 400, "message": "bad schema"}}]), "invalid_request", 1),
    ],
)
def test_what_does_not_pass_is_an_error_that_says_how(call, failure, kind, calls):
    with ChatServer(failure) as server, pytest.raises(LLMError) as caught:
        call(server)
    assert caught.value.kind == kind
    assert len(server.requests) == calls
    assert KEY not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_retry_that_would_pass_the_timeout_is_not_waited_for(call):
    with ChatServer(error(429, "later", retry_after="3600")) as server, pytest.raises(LLMError) as caught:
        call(server)
    assert (caught.value.kind, caught.value.retry_after, len(server.requests)) == ("rate_limit", 3600.0, 1)


@pytest.mark.parametrize(
    "reply", [Reply(body={}, hold=threading.Event()), Reply(trickle=True)], ids=["slow", "trickle"]
)
def test_an_answer_that_takes_too_long_is_a_timeout(call, reply):
    with ChatServer(reply) as server, pytest.raises(LLMError) as caught:
        call(server, Request("", (Message.user("u"),), timeout=0.3))
    assert (caught.value.kind, caught.value.retryable) == ("timeout", True)


def test_aborting_ends_a_call_in_flight_at_once(call):
    abort, outcome = AbortSignal(), []

    def ask(server):
        with pytest.raises(Aborted) as caught:
            call(server, Request("", (Message.user("u"),), timeout=3600.0), abort)
        outcome.append(caught.value)

    with ChatServer(Reply(hold=threading.Event())) as server:
        thread = threading.Thread(target=ask, args=(server,))
        thread.start()
        assert server.arrived.acquire(timeout=10)
        abort.abort("enough")
        thread.join(20)  # the server holds its answer for longer
        assert len(outcome) == 1
    assert len(server.requests) == 1


def test_without_a_key_the_error_names_the_variable(monkeypatch):
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    client = ProviderClient(openai.ChatAPI(openai.Chat("m"), openai.OPENROUTER))
    with pytest.raises(LLMError, match="OPENROUTER_API_KEY") as caught:
        client.complete(ASKED, abort=AbortSignal())
    assert (caught.value.kind, caught.value.retryable) == ("authentication", False)


def test_a_missing_package_is_an_error_and_no_crash(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "openai", None)
    client = ProviderClient(openai.ChatAPI(openai.Chat("m"), openai.OPENAI, api_key=KEY))
    with pytest.raises(LLMError, match="package is missing") as caught:
        client.complete(ASKED, abort=AbortSignal())
    assert (caught.value.kind, caught.value.retryable) == ("invalid_request", False)
