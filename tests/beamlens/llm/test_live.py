"""Real providers, each asked once; skipped without its key.

A key goes into ``BEAMLENS_LIVE_<PROVIDER>_KEY``, a model other than the one here into
``BEAMLENS_LIVE_<PROVIDER>_MODEL``.
"""

from __future__ import annotations

import os

import pytest

from beamlens.llm.client import Message, Request, ToolOutput, ToolSpec
from beamlens.llm.deltas import complete
from beamlens.llm.registry import ClientRegistry
from beamlens_actors import AbortSignal

TOOLS = (
    ToolSpec(
        "wait",
        "Sleeps.",
        {
            "type": "object",
            "properties": {"ms": {"type": "integer", "description": "milliseconds"}},
            "required": ["ms"],
        },
    ),
)
SYSTEM = "Call the tool that is asked for. When it has answered, say 'done'."


def bedrock(key, model):
    return {"api_key": key, "model": model, "region": os.environ.get("AWS_REGION", "us-east-1")}


def vertex(key, model):
    return {"access_token": key, "model": model, "location": "global"}  # the project is GOOGLE_CLOUD_PROJECT


def azure(key, model):
    return {"api_key": key, "deployment_id": model, "api_version": "2024-10-21"}  # AZURE_OPENAI_ENDPOINT


def plain(key, model):
    return {"api_key": key, "model": model}


def ollama(_key, model):
    return {"model": model}


@pytest.mark.live
@pytest.mark.parametrize(
    ("provider", "model", "options"),
    [
        ("anthropic", "claude-haiku-4-5-20251001", plain),
        ("aws-bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", bedrock),
        ("vertex-ai", "claude-haiku-4-5@20251001", vertex),
        ("openai", "gpt-4o-mini", plain),
        ("azure-openai", "gpt-4o-mini", azure),
        ("openrouter", "openai/gpt-4o-mini", plain),
        ("google-ai", "gemini-2.5-flash", plain),
        ("ollama", "qwen3", ollama),
    ],
)
@pytest.mark.parametrize("streams", [False, True], ids=["at once", "streamed"])
def test_the_real_model_calls_a_tool_and_understands_its_answer(provider, model, options, streams):
    prefix = f"BEAMLENS_LIVE_{provider.upper().replace('-', '_')}"
    key = os.environ.get(f"{prefix}_KEY")
    if not key:
        pytest.skip(f"needs {prefix}_KEY")
    asked = options(key, os.environ.get(f"{prefix}_MODEL", model))
    config = {"primary": "a", "clients": [{"name": "a", "provider": provider, "options": asked}]}
    registry = ClientRegistry.build(config)
    conversation = (Message.user("Wait for 5 ms."),)
    heard = []
    on_delta = heard.append if streams else None
    called = complete(registry.primary, Request(SYSTEM, conversation, TOOLS), abort=AbortSignal(), on_delta=on_delta)
    (call,) = called.tool_calls
    assert (call.name, call.arguments) == ("wait", {"ms": 5})
    assert called.usage.input_tokens > 0
    conversation = (*conversation, Message("assistant", (call,)), Message("user", (ToolOutput(call.id, "waited"),)))
    done = complete(registry.primary, Request(SYSTEM, conversation, TOOLS), abort=AbortSignal(), on_delta=on_delta)
    registry.close()
    assert {delta.kind for delta in heard} >= ({"text", "tool_call"} if streams else set())
    assert "done" in done.text.lower()
