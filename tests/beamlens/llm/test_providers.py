"""What a configuration of each provider must say, and what is said when it does not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from beamlens.errors import ClientConfigError, LLMError
from beamlens.llm.client import Message, Request
from beamlens.llm.configured import PROVIDERS
from beamlens.llm.registry import ClientRegistry
from beamlens.telemetry import Bus
from beamlens_actors import AbortSignal
from tests.support.chat_api import ChatServer, answer
from tests.support.chat_api import error as chat_error

ASKED = Request("", (Message.user("u"),), timeout=10.0)
BEDROCK = {"model": "eu.anthropic.claude", "region": "eu-central-1"}
VERTEX = {"model": "claude", "location": "global", "project_id": "p"}
AZURE = {"deployment_id": "d", "resource_name": "r", "api_version": "v"}
OPTIONS = {
    "anthropic": {"api_key": "k"},
    "aws-bedrock": {**BEDROCK, "api_key": "k"},
    "vertex-ai": {**VERTEX, "access_token": "k"},
    "openai": {"model": "m", "api_key": "k"},
    "openai-generic": {"model": "m", "base_url": "http://localhost:1/v1"},
    "azure-openai": {**AZURE, "api_key": "k"},
    "ollama": {"model": "m"},
    "openrouter": {"model": "m", "api_key": "k"},
    "google-ai": {"model": "m", "api_key": "k"},
    "offline": {},
}


def build(provider, options=None, environ=None, **more):
    config = {"primary": "a", "clients": [{"name": "a", "provider": provider, "options": options or {}, **more}]}
    return ClientRegistry.build(config, environ=environ or {})


def refusal(*args, **kwargs):
    with pytest.raises(ClientConfigError) as caught:
        build(*args, **kwargs)
    return caught.value.field.removeprefix("client_registry.clients[0]."), str(caught.value)


def compose(**strategies):
    """A registry of composites over the clients `one` and `two`, and `none`, the offline analyst."""
    ollama = [{"name": name, "provider": "ollama", "options": {"model": name}} for name in ("one", "two")]
    made = [
        {"name": name, "provider": "fallback", "options": {"strategy": members}} for name, members in strategies.items()
    ]
    offline = {"name": "none", "provider": "offline"}
    return ClientRegistry.build({"primary": next(iter(strategies)), "clients": [*made, *ollama, offline]}, environ={})


@pytest.mark.parametrize("provider", OPTIONS)
def test_each_provider_can_be_configured_and_imports_no_sdk(provider):
    assert build(provider, OPTIONS[provider]).primary.model
    assert set(OPTIONS) | {"fallback", "round-robin"} == set(PROVIDERS)


def test_no_sdk_is_imported_at_start():
    code = (
        "import sys; from beamlens.llm.registry import ClientRegistry\n"
        f"for provider, options in {OPTIONS!r}.items():\n"
        "    client = {'name': 'a', 'provider': provider, 'options': options}\n"
        "    ClientRegistry.build({'primary': 'a', 'clients': [client]}, environ={})\n"
        "print([name for name in ('anthropic', 'openai', 'boto3', 'google.auth') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("provider", "options", "variable"),
    [
        ("anthropic", {}, "ANTHROPIC_API_KEY"),
        ("openai", {"model": "m"}, "OPENAI_API_KEY"),
        ("azure-openai", AZURE, "AZURE_OPENAI_API_KEY"),
        ("openrouter", {"model": "m"}, "OPENROUTER_API_KEY"),
        ("google-ai", {"model": "m"}, "GOOGLE_API_KEY"),
        ("google-ai", {"model": "m"}, "GEMINI_API_KEY"),
        ("openai-generic", {**OPTIONS["openai-generic"], "api_key_variable": "MY_KEY"}, "MY_KEY"),
    ],
)
def test_the_key_comes_from_the_usual_variable_and_its_absence_is_one_error(provider, options, variable):
    field, words = refusal(provider, options)
    assert field == "options.api_key"
    assert variable in words
    build(provider, options, {variable: "k"})


def test_a_key_that_cannot_be_one_is_refused_at_start_without_showing_it():
    field, words = refusal("openai", {"model": "m"}, {"OPENAI_API_KEY": "two words"})
    assert field == "options.api_key"
    assert "characters that no key has" in words
    assert "two words" not in words


def test_the_key_of_openai_is_nobody_elses():
    registry = build("openai-generic", OPTIONS["openai-generic"], {"OPENAI_API_KEY": "sk-secret"})
    assert registry.primary.client._api.secrets() == ()


@pytest.mark.parametrize(
    ("provider", "module", "extra"),
    [
        ("openai", "openai", "openai"),
        ("ollama", "openai", "openai"),
        ("aws-bedrock", "boto3", "bedrock"),
        ("vertex-ai", "google.auth", "vertex"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, provider, module, extra):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else real(name))
    options = {"openai": {"model": "m", "api_key": "k"}, "ollama": {"model": "m"}, "aws-bedrock": BEDROCK}
    field, words = refusal(provider, options.get(provider, VERTEX))
    assert field == "provider"
    assert f"needs the package {module}: pip install 'beamlens[{extra}]'" in words


@pytest.mark.parametrize(
    ("provider", "options", "field", "words"),
    [
        ("openai", {}, "options.model", "is missing; the fields are: model, "),
        ("openai", {"model": "m", "modle": "x"}, "options.modle", "the fields are: model, "),
        ("openai", {"model": "m", "temperature": 3}, "options.temperature", "less than or equal to 2"),
        ("ollama", {"model": "m", "base_url": "localhost:11434"}, "options.base_url", "pattern"),
        ("openai-generic", {"model": "m"}, "options.base_url", "is missing"),
        ("azure-openai", {}, "options.deployment_id", "is missing"),
        ("azure-openai", {"deployment_id": "d", "api_key": "k"}, "options.resource_name", "AZURE_OPENAI_ENDPOINT"),
        ("azure-openai", {**AZURE, "api_version": None, "api_key": "k"}, "options.api_version", "OPENAI_API_VERSION"),
        ("aws-bedrock", {"model": "m"}, "options.region", "AWS_REGION"),
        ("aws-bedrock", BEDROCK, "options.access_key_id", "finds no credentials"),
        ("aws-bedrock", {**BEDROCK, "access_key_id": "k"}, "options", "belong together"),
        ("aws-bedrock", {**BEDROCK, "session_token": "k"}, "options", "belongs to access_key_id"),
        ("aws-bedrock", {**BEDROCK, "api_key": "k", "profile": "p"}, "options", "not several"),
        ("vertex-ai", {"model": "claude"}, "options.location", "CLOUD_ML_REGION"),
        ("vertex-ai", {"model": "claude", "location": "global"}, "options.project_id", "GOOGLE_CLOUD_PROJECT"),
        ("vertex-ai", VERTEX, "options.access_token", "gcloud auth application-default login"),
        ("vertex-ai", {**VERTEX, "model": "gemini-3-flash"}, "options.model", "'google-ai'"),
        ("fallback", {}, "options.strategy", "is missing; the fields are: strategy, cooldown"),
        ("round-robin", {"strategy": []}, "options.strategy", "at least 1"),
        ("round-robin", {"strategy": ["b"]}, "options.strategy[0]", "no client is named 'b'; the clients are: a"),
    ],
)
def test_what_is_wrong_is_named_with_its_field_and_the_remedy(provider, options, field, words):
    found, text = refusal(provider, options)
    assert found == field
    assert words in text


@pytest.mark.parametrize(
    ("more", "field", "words"),
    [
        ({"limits": {"concurrency": 0}}, "limits.concurrency", "greater than or equal to 1"),
        ({"limits": {"slots": 1}}, "limits.slots", "the fields are: concurrency, calls, interval, queue"),
        ({"retry_policy": {"max_retries": 99}}, "retry_policy.max_retries", "less than or equal to 10"),
        ({"retry_policy": {"retries": 1}}, "retry_policy.retries", "the fields are: max_retries"),
    ],
)
def test_limits_and_retries_are_checked(more, field, words):
    found, text = refusal("ollama", {"model": "m"}, **more)
    assert found == field
    assert words in text


@pytest.mark.parametrize("own", [{"limits": {}}, {"retry_policy": "DefaultRetry"}])
def test_a_composite_has_none_of_its_own(own):
    field, words = refusal("round-robin", {"strategy": ["a"]}, **own)
    assert field == next(iter(own))
    assert "give it to the clients it is made of" in words


def test_limits_reach_the_dispatcher():
    limits = {"concurrency": 1, "calls": 2, "interval": 3, "queue": 4, "failure_threshold": 5, "recovery": 6}
    dispatcher = build("ollama", {"model": "m"}, limits=limits).primary.dispatcher
    found = dispatcher.limits
    assert (found.concurrency, found.calls, found.interval) == (1, 2, 3)
    assert (found.queue, found.failure_threshold, found.recovery) == (4, 5, 6)


# -- credentials of the clouds -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"},
        {"AWS_PROFILE": "p"},
        {"AWS_BEARER_TOKEN_BEDROCK": "b"},
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/f"},
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/u"},
    ],
)
def test_aws_credentials_may_come_from_the_environment(environ):
    assert build("aws-bedrock", {"model": "m"}, {**environ, "AWS_REGION": "eu-west-1"}).primary.model == "aws-bedrock/m"


def test_aws_credentials_and_region_may_come_from_its_files(tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default]\nregion = eu-west-1\n[profile p]\nregion = us-east-1\n")
    for environ in ({}, {"AWS_PROFILE": "p"}):
        build("aws-bedrock", {"model": "m"}, {"HOME": str(tmp_path), **environ})
    field, _ = refusal("aws-bedrock", {"model": "m", "profile": "other"}, {"HOME": str(tmp_path)})
    assert field == "options.region"


def test_two_ways_into_aws_are_one_too_many():
    keys = {"access_key_id": "k", "secret_access_key": "s"}
    field, words = refusal("aws-bedrock", {**BEDROCK, **keys}, {"AWS_BEARER_TOKEN_BEDROCK": "b"})
    assert field == "options.access_key_id"
    assert "AWS_BEARER_TOKEN_BEDROCK is set as well" in words


@pytest.mark.parametrize(("provider", "options"), [("aws-bedrock", BEDROCK), ("vertex-ai", VERTEX)])
def test_a_machine_may_have_an_identity_of_its_own(provider, options):
    build(provider, {**options, "machine_identity": True})


def test_google_credentials_may_come_from_a_file_that_exists(tmp_path):
    file = tmp_path / "key.json"
    _, words = refusal("vertex-ai", VERTEX, {"GOOGLE_APPLICATION_CREDENTIALS": str(file)})
    assert "names a file that does not exist" in words
    file.write_text("{}")
    build("vertex-ai", VERTEX, {"GOOGLE_APPLICATION_CREDENTIALS": str(file)})
    login = tmp_path / ".config" / "gcloud"
    login.mkdir(parents=True)
    (login / "application_default_credentials.json").write_text("{}")
    build("vertex-ai", VERTEX, {"HOME": str(tmp_path)})


# -- clients of clients --------------------------------------------------------------------------------------


def test_composites_may_be_made_of_composites():
    assert compose(top=["inner", "one"], inner=["two"]).primary.model == "ollama/two"


@pytest.mark.parametrize(
    ("strategies", "words"),
    [
        ({"a": ["a"]}, "cannot be made of itself: a -> a"),
        ({"a": ["one", "b"], "b": ["two", "c"], "c": ["b"]}, "cannot be made of itself: b -> c -> b"),
        ({"a": ["three"]}, "no client is named 'three'; the clients are: a, one, two, none"),
        ({"a": ["one", "none"]}, "'none' is the offline analyst, which takes over by itself"),
        ({"a": ["one", "two", "one"]}, "'one' is named twice"),
    ],
)
def test_composites_that_make_no_sense_are_refused(strategies, words):
    with pytest.raises(ClientConfigError) as caught:
        compose(**strategies)
    assert words in str(caught.value)


def test_a_fallback_goes_on_to_the_next_server_and_the_bus_hears_of_it():
    heard = []
    bus = Bus("here")
    bus.listen(lambda name, sender, _numbers, metadata: heard.append((name, sender, metadata["instance"])))
    with ChatServer(chat_error(503, "oops")) as down, ChatServer(answer("ok")) as up:
        clients = [
            {"name": "both", "provider": "fallback", "options": {"strategy": ["down", "up"]}},
            *(
                {
                    "name": name,
                    "provider": "openai-generic",
                    "options": {"model": "m", "base_url": server.base_url},
                    "retry_policy": {"max_retries": 0},
                }
                for name, server in (("down", down), ("up", up))
            ),
        ]
        registry = ClientRegistry.build({"primary": "both", "clients": clients}, environ={})
        registry.report_to(bus)
        bus.start()
        completion = registry.primary.complete(ASKED, abort=AbortSignal())
        bus.close()
        registry.close()
    assert (completion.text, len(down.requests), len(up.requests)) == ("ok", 1, 1)
    assert ("ai.fallback.switched", "both", "here") in heard
    assert ("ai.dispatcher.dispatch", "down", "here") in heard
    assert ("ai.dispatcher.queue_depth", "up", "here") in heard


def test_a_server_that_is_down_is_not_called_for_a_while():
    with ChatServer(chat_error(503, "oops")) as down:
        options = {"model": "m", "base_url": down.base_url}
        limits = {"failure_threshold": 2, "recovery": 3600}
        registry = build("openai-generic", options, limits=limits, retry_policy={"max_retries": 0})
        kinds = []
        for _ in range(3):
            with pytest.raises(LLMError) as caught:
                registry.primary.complete(ASKED, abort=AbortSignal())
            kinds.append(caught.value.kind)
        registry.close()
    assert (kinds, len(down.requests)) == (["server", "server", "rejected"], 2)
