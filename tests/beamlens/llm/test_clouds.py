"""Anthropic's SDK for Bedrock and Vertex AI, against a server on loopback."""

from __future__ import annotations

import threading

import pytest

from beamlens.errors import LLMError
from beamlens.llm import anthropic_clouds as clouds
from beamlens.llm.anthropic import Sampling
from beamlens.llm.client import Message, Request, ToolCall, ToolSpec
from beamlens.llm.pricing import cost
from beamlens.llm.provider import Backoff, ProviderClient
from beamlens_actors import Aborted, AbortSignal
from tests.support.messages_api import MessagesAPI, Reply, error, message, text, tool_use

SECRET = "a-secret-that-must-not-show"
TOOLS = (ToolSpec("wait", "Sleeps.", {"properties": {"ms": {"type": "integer"}}}),)
ASKED = Request("You watch.", (Message.user("Look."),), TOOLS, timeout=10.0)


def bedrock(server, **given):
    keys = given or {"access_key": "AKIA", "secret_key": SECRET}
    sampling = Sampling("eu.anthropic.claude-haiku-4-5-20251001-v1:0", temperature=0.5)
    return clouds.bedrock(sampling, region="eu-central-1", base_url=server.base_url, **keys)


def vertex(server):
    sampling = Sampling("claude-haiku-4-5@20251001")
    return clouds.vertex(
        sampling, location="global", project_id="mine", access_token=SECRET, base_url=f"{server.base_url}/v1"
    )


@pytest.fixture(params=[bedrock, vertex])
def call(request):
    made = []

    def make(server, asked=ASKED, abort=None, retries=2):
        made.append(ProviderClient(request.param(server), backoff=Backoff(retries, 0.001)))
        return made[-1].complete(asked, abort=abort or AbortSignal())

    yield make
    for client in made:
        client.close()


def ask(api):
    client = ProviderClient(api, backoff=Backoff(0))
    try:
        return client.complete(ASKED, abort=AbortSignal())
    finally:
        client.close()


def test_bedrock_is_called_signed_at_the_models_path():
    with MessagesAPI(message(tool_use("wait", ms=5))) as server:
        completion = ask(bedrock(server))
    assert server.paths == ["/model/eu.anthropic.claude-haiku-4-5-20251001-v1:0/invoke"]
    authorization = server.headers[0]["authorization"]
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIA/")
    assert "/eu-central-1/bedrock/" in authorization
    assert server.headers[0]["connection"] == "close"
    assert "anthropic_version" in server.requests[0]
    assert server.requests[0]["temperature"] == 0.5
    assert completion.tool_calls == (ToolCall("toolu_1", "wait", {"ms": 5}),)
    assert completion.model == "aws-bedrock/eu.anthropic.claude-haiku-4-5-20251001-v1:0"


def test_bedrock_takes_a_bearer_token():
    with MessagesAPI(message(text("ok"))) as server:
        assert ask(bedrock(server, bearer_token=SECRET)).text == "ok"
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"


def test_vertex_is_called_with_its_token_at_the_projects_path():
    with MessagesAPI(message(text("ok"))) as server:
        completion = ask(vertex(server))
    path = "/v1/projects/mine/locations/global/publishers/anthropic/models/claude-haiku-4-5@20251001:rawPredict"
    assert server.paths == [path]
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"
    assert completion.model == "vertex-ai/claude-haiku-4-5@20251001"


def test_the_wire_is_anthropics(call):
    with MessagesAPI(
        message(text("both"), tool_use("a", "t1"), tool_use("b", "t2"), cache_read_input_tokens=7)
    ) as server:
        completion = call(server)
    sent = server.requests[0]
    assert sent["system"] == [{"type": "text", "text": "You watch.", "cache_control": {"type": "ephemeral"}}]
    assert [one.name for one in completion.tool_calls] == ["a", "b"]
    assert completion.usage.cache_read_tokens == 7
    assert cost(completion.model, completion.usage) is None


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
    with MessagesAPI(failure, message(text("ok"))) as server:
        assert call(server).text == "ok"
    assert len(server.requests) == 2


def test_what_was_refused_says_so_without_the_secret(call):
    with MessagesAPI(Reply(403, {"message": f"not authorized: {SECRET}"})) as server, pytest.raises(LLMError) as caught:
        call(server)
    assert str(caught.value) == "the provider answered 403: not authorized: [key]"
    assert (caught.value.kind, caught.value.__cause__, caught.value.__context__) == ("authentication", None, None)


def test_aborting_ends_a_call_in_flight_at_once(call):
    abort, outcome = AbortSignal(), []

    def wait(server):
        with pytest.raises(Aborted) as caught:
            call(server, Request("", (Message.user("u"),), timeout=3600.0), abort)
        outcome.append(caught.value)

    with MessagesAPI(Reply(hold=threading.Event())) as server:
        thread = threading.Thread(target=wait, args=(server,))
        thread.start()
        assert server.arrived.acquire(timeout=20)
        abort.abort()
        thread.join(20)
        assert len(outcome) == 1


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No credentials, and nobody asked for them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.mark.usefixtures("nowhere")
def test_without_credentials_at_aws_it_is_a_login_that_failed():
    with MessagesAPI(message(text("ok"))) as server, pytest.raises(LLMError, match="credentials") as caught:
        ask(clouds.bedrock(Sampling("m"), region="eu-central-1", base_url=server.base_url))
    assert (caught.value.kind, caught.value.retryable, server.requests) == ("authentication", False, [])


@pytest.mark.usefixtures("nowhere")
def test_without_a_profile_at_aws_it_is_a_login_that_failed():
    with MessagesAPI(message(text("ok"))) as server, pytest.raises(LLMError, match="credentials") as caught:
        ask(clouds.bedrock(Sampling("m"), region="eu-central-1", profile="none", base_url=server.base_url))
    assert (caught.value.kind, caught.value.retryable) == ("authentication", False)


@pytest.mark.usefixtures("nowhere")
def test_without_credentials_at_google_it_is_a_login_that_failed():
    with MessagesAPI(message(text("ok"))) as server, pytest.raises(LLMError, match="credentials") as caught:
        ask(clouds.vertex(Sampling("m"), location="global", project_id="p", base_url=server.base_url))
    assert (caught.value.kind, caught.value.retryable, server.requests) == ("authentication", False, [])
