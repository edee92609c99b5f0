"""What a call costs. A price that is not known is not guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from beamlens.llm.client import Usage


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens: input, output, reading from the prompt cache, writing to it."""

    input: float
    output: float
    cache_read: float
    cache_write: float


def _claude(given: float, output: float) -> Price:
    # Reading from the five-minute cache costs a tenth of input, writing to it a quarter more than input.
    return Price(given, output, given * 0.1, given * 1.25)


def _gpt(given: float, output: float, cached: float) -> Price:
    return Price(given, output, cached, given)


# The providers' own list prices, by the model's name without its date. Models on other platforms carry the platform's
# name before theirs ("aws-bedrock/...", "openrouter/..."): prices there differ, so none is given.
_PRICES = {
    "claude-3-5-haiku": _claude(0.8, 4.0),
    "claude-haiku-4-5": _claude(1.0, 5.0),
    "claude-3-5-sonnet": _claude(3.0, 15.0),
    "claude-3-7-sonnet": _claude(3.0, 15.0),
    "claude-sonnet-4": _claude(3.0, 15.0),
    "claude-sonnet-4-5": _claude(3.0, 15.0),
    "claude-sonnet-4-6": _claude(3.0, 15.0),
    "claude-3-opus": _claude(15.0, 75.0),
    "claude-opus-4": _claude(15.0, 75.0),
    "claude-opus-4-1": _claude(15.0, 75.0),
    "claude-opus-4-5": _claude(5.0, 25.0),
    "claude-opus-4-6": _claude(5.0, 25.0),
    "gpt-4o": _gpt(2.5, 10.0, 1.25),
    "gpt-4o-2024-05-13": _gpt(5.0, 15.0, 5.0),  # the first one cost more
    "gpt-4o-mini": _gpt(0.15, 0.6, 0.075),
    "gpt-4.1": _gpt(2.0, 8.0, 0.5),
    "gpt-4.1-mini": _gpt(0.4, 1.6, 0.1),
    "gpt-4.1-nano": _gpt(0.1, 0.4, 0.025),
    "gpt-5": _gpt(1.25, 10.0, 0.125),
    "gpt-5-mini": _gpt(0.25, 2.0, 0.025),
    "gpt-5-nano": _gpt(0.05, 0.4, 0.005),
    "offline": Price(0.0, 0.0, 0.0, 0.0),
}
# Only what names the same model: "claude-sonnet-4" must not price a "claude-sonnet-4-6".
_DATED = re.compile(r"-(?:\d{8}|\d{4}-\d\d-\d\d|latest|0)$")


def cost(model: str, usage: Usage) -> float | None:
    """US dollars of a call; ``None`` where the model's price is not known."""
    price = _PRICES.get(model) or _PRICES.get(_DATED.sub("", model))
    if price is None:
        return None
    dollars = (
        usage.input_tokens * price.input
        + usage.output_tokens * price.output
        + usage.cache_write_tokens * price.cache_write
        + usage.cache_read_tokens * price.cache_read
    )
    return dollars / 1e6
