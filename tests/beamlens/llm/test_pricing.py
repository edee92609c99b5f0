from __future__ import annotations

import pytest

from beamlens.llm.client import Usage
from beamlens.llm.pricing import cost

MILLION = 1_000_000


@pytest.mark.parametrize("model", ["claude-sonnet-4-20250514", "claude-sonnet-4-0", "claude-sonnet-4"])
def test_a_dated_model_costs_what_the_model_costs(model):
    assert cost(model, Usage(MILLION, 0)) == 3.0


def test_a_date_may_be_written_with_dashes():
    assert cost("gpt-4o-mini-2024-07-18", Usage(MILLION, 0)) == 0.15


def test_a_dated_model_that_cost_something_else_does_so():
    assert cost("gpt-4o-2024-05-13", Usage(MILLION, 0)) == 5.0
    assert cost("gpt-4o-2024-08-06", Usage(MILLION, 0)) == 2.5


@pytest.mark.parametrize("model", ["claude-sonnet-4-99", "gpt-5.9", "gpt-5-pro", "some-model"])
def test_a_model_is_not_priced_as_another_one_of_its_family(model):
    assert cost(model, Usage(MILLION, 0)) is None


@pytest.mark.parametrize(
    "model",
    ["openrouter/openai/gpt-5-mini", "azure-openai/gpt-4o-mini", "ollama/qwen3", "aws-bedrock/claude-haiku-4-5"],
)
def test_on_another_platform_the_price_is_not_known(model):
    assert cost(model, Usage(MILLION, 0)) is None


@pytest.mark.parametrize(
    ("model", "dollars"),
    [("claude-haiku-4-5-20251001", 1 + 5 + 0.1 + 1.25), ("gpt-4o-mini", 0.15 + 0.6 + 0.075 + 0.15)],
)
def test_tokens_of_the_cache_have_prices_of_their_own(model, dollars):
    assert cost(model, Usage(MILLION, MILLION, MILLION, MILLION)) == pytest.approx(dollars)


def test_the_offline_analyst_is_free():
    assert cost("offline", Usage()) == 0.0
