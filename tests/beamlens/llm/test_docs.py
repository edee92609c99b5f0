"""The examples of docs/providers.md are what start() accepts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from beamlens.llm.configured import PROVIDERS
from beamlens.llm.registry import ClientRegistry
from tests.support.messages_api import MessagesAPI, streamed, text
from tests.support.sse import Trouble

PAGE = Path(__file__).parents[3] / "docs" / "providers.md"
EXAMPLES = [
    ast.literal_eval(ast.parse(block).body[0].value)
    for block in re.findall(
        r"^```python\n(client_registry = .*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
]
KEYS = ("ANTHROPIC", "OPENAI", "AZURE_OPENAI", "OPENROUTER", "GOOGLE", "GROQ")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["primary"])
def test_an_example_is_accepted_with_nothing_but_its_keys(example):
    environ = {f"{name}_API_KEY": "k" for name in KEYS}
    registry = ClientRegistry.build(example, environ=environ)
    assert registry.names == tuple(client["name"] for client in example["clients"])
    assert registry.primary.model


def test_each_provider_has_an_example():
    used = {client["provider"] for example in EXAMPLES for client in example["clients"]}
    assert used | {"offline"} == set(PROVIDERS)


def test_each_provider_is_in_the_table():
    table = re.findall(r"^\| (`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`([\w-]+)`", " ".join(table))) == set(PROVIDERS)


def test_the_example_of_an_answer_as_it_comes_prints_it_and_begins_again_where_it_broke_off(capsys, monkeypatch):
    monkeypatch.setattr("beamlens.agent.model.FIRST_DELAY", 0.001)
    page = PAGE.read_text(encoding="utf-8")
    (example,) = re.findall(r"^## Answers as they come\n.*?^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    broken = streamed(text("It was fine."))
    broken.steps[4:] = [Trouble.END]
    with MessagesAPI(broken, streamed(text("It is fine."))) as server:
        options = {"api_key": "k", "base_url": server.base_url}
        registry = {"primary": "Claude", "clients": [{"name": "Claude", "provider": "anthropic", "options": options}]}
        exec(compile(example, str(PAGE), "exec"), {"client_registry": registry})
    assert capsys.readouterr().out == "It wa ...once more: It is fine."
