from __future__ import annotations

import subprocess
import sys

import pytest

from beamlens.errors import ClientConfigError
from beamlens.llm.registry import ClientRegistry
from beamlens.testing import ScriptedClient

OFFLINE = {"name": "a", "provider": "offline"}


def test_without_a_key_the_offline_analyst_answers():
    assert ClientRegistry.build(None, environ={}).primary.model == "offline"


def test_with_a_key_the_default_model_answers():
    registry = ClientRegistry.build(None, environ={"ANTHROPIC_API_KEY": "k"})
    assert registry.primary.model == "claude-haiku-4-5-20251001"


def test_a_client_of_ones_own_is_taken_as_it_is():
    client = ScriptedClient([])
    assert ClientRegistry.build(client).primary is client


@pytest.mark.parametrize(
    ("config", "field", "words"),
    [
        ({"primary": "x"}, "client_registry.clients", "is missing; the fields are: primary, clients"),
        ({"primary": "x", "clients": []}, "client_registry.clients", "at least 1"),
        ({"primary": "x", "clients": [OFFLINE]}, "client_registry.primary", "the clients are: a"),
        ({"primary": "a", "clients": [OFFLINE, OFFLINE]}, "client_registry.clients[1].name", "used twice"),
        (
            {"primary": "a", "clients": [{"name": "a", "provider": "nope"}]},
            "client_registry.clients[0].provider",
            "the providers are: anthropic, aws-bedrock, vertex-ai, openai, ",
        ),
        (
            {"primary": "a", "clients": [{"name": "a", "provider": "anthropic"}]},
            "client_registry.clients[0].options.api_key",
            "ANTHROPIC_API_KEY",
        ),
        (
            {"primary": "a", "clients": [{"name": "a", "provider": "anthropic", "options": {"modle": "x"}}]},
            "client_registry.clients[0].options.modle",
            "the fields are: model",
        ),
        ({"primary": "a", "clients": [{**OFFLINE, "x": 1}]}, "client_registry.clients[0].x", "the fields are: name"),
        ({"primary": "a", "clients": [OFFLINE], "more": 1}, "client_registry.more", "the fields are: primary"),
        (5, "client_registry", "must be a mapping"),
    ],
)
def test_what_is_wrong_is_named_with_its_field_and_the_choices(config, field, words):
    with pytest.raises(ClientConfigError) as caught:
        ClientRegistry.build(config, environ={})
    assert caught.value.field == field
    assert words in str(caught.value)


def test_a_named_retry_policy_is_known_and_another_one_refused_with_the_choices():
    def config(policy):
        return {"primary": "a", "clients": [{**OFFLINE, "retry_policy": policy}]}

    assert ClientRegistry.build(config("DefaultRetry"), environ={}).primary.model == "offline"
    with pytest.raises(ClientConfigError, match=r"no policy is named 'Nope'; the named policies are: DefaultRetry"):
        ClientRegistry.build(config("Nope"), environ={})


def test_a_class_instead_of_a_client_is_refused():
    with pytest.raises(ClientConfigError, match="not the class ScriptedClient: make one"):
        ClientRegistry.build(ScriptedClient)


def test_a_client_that_cannot_be_closed_does_not_keep_the_next_one_open(caplog):
    class Stuck(ScriptedClient):
        def close(self):
            raise OSError("stuck")

    closed = []

    class Fine(ScriptedClient):
        def close(self):
            closed.append(self)

    ClientRegistry({"a": Stuck([]), "b": Fine([])}, "a").close()
    assert len(closed) == 1
    assert "'a' could not be closed" in caplog.text


def test_an_unknown_client_is_named_with_the_choices():
    registry = ClientRegistry.build({"primary": "a", "clients": [OFFLINE]}, environ={})
    with pytest.raises(ClientConfigError, match="the clients are: a"):
        registry.client("b")


def test_the_sdk_is_not_imported_before_the_first_call():
    code = (
        "import sys; from beamlens.llm.registry import ClientRegistry; "
        "ClientRegistry.build(None, environ={'ANTHROPIC_API_KEY': 'k'}); print('anthropic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
