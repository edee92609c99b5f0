"""What a call costs. A price that is not known is not guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from beamlens.llm.client import Usage


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float

    @property
    def cache_write(self) -> float:
        """Writing to the five-minute prompt cache: a quarter more than input."""
        return self.input * 1.25

    @property
    def cache_read(self) -> float:
        """Reading from it: a tenth of input."""
        return self.input * 0.1


# The provider's list prices, by the model's name without its date.
_PRICES = {
    "claude-3-5-haiku": Price(0.8, 4.0),
    "claude-haiku-4-5": Price(1.0, 5.0),
    "claude-3-5-sonnet": Price(3.0, 15.0),
    "claude-3-7-sonnet": Price(3.0, 15.0),
    "claude-sonnet-4": Price(3.0, 15.0),
    "claude-sonnet-4-5": Price(3.0, 15.0),
    "claude-sonnet-4-6": Price(3.0, 15.0),
    "claude-3-opus": Price(15.0, 75.0),
    "claude-opus-4": Price(15.0, 75.0),
    "claude-opus-4-1": Price(15.0, 75.0),
    "claude-opus-4-5": Price(5.0, 25.0),
    "claude-opus-4-6": Price(5.0, 25.0),
    "offline": Price(0.0, 0.0),
}
# Only what names the same model: "claude-sonnet-4" must not price a "claude-sonnet-4-6".
_DATED = re.compile(r"-(?:\d{8}|latest|0)$")


def cost(model: str, usage: Usage) -> float | None:
    """US dollars of a call; ``None`` where the model's price is not known."""
    price = _PRICES.get(_DATED.sub("", model))
    if price is None:
        return None
    dollars = (
        usage.input_tokens * price.input
        + usage.output_tokens * price.output
        + usage.cache_write_tokens * price.cache_write
        + usage.cache_read_tokens * price.cache_read
    )
    return dollars / 1e6
