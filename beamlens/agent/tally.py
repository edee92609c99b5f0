"""What a run has used, held against its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beamlens.agent.budget import dollars
from beamlens.llm.client import Usage
from beamlens.llm.pricing import cost

if TYPE_CHECKING:
    from beamlens.agent.limits import Limits
    from beamlens.llm.client import Completion


class Tally:
    """What a run has used."""

    def __init__(self) -> None:
        self.iterations = 0
        self.tool_turns = 0
        self.fruitless = 0
        self.usage = Usage()
        self.cost_usd: float | None = 0.0
        self._usd = 0.0

    def answered(self, completion: Completion, model: str) -> None:
        """A model answered."""
        name = completion.model or model
        price = cost(name, completion.usage)
        self.usage += completion.usage
        self.cost_usd = None if price is None or self.cost_usd is None else self.cost_usd + price
        self._usd += dollars(name, completion.usage)

    def turn(self, *, used_tools: bool, fruitful: bool) -> None:
        """A turn is over."""
        self.iterations += 1
        self.tool_turns += used_tools
        self.fruitless = 0 if fruitful else self.fruitless + 1

    def next_task(self) -> None:
        """A follow-up begins: turns are counted anew."""
        self.tool_turns = self.fruitless = 0

    def reached(self, limits: Limits) -> str | None:
        """The limit that forbids another model call."""
        used = (
            ("fruitless", self.fruitless, limits.max_fruitless),
            ("max_iterations", self.iterations, limits.max_iterations),
            ("max_tool_turns", self.tool_turns, limits.max_tool_turns),
            ("max_total_tokens", self.usage.total, limits.max_total_tokens),
            ("max_usd", self._usd, limits.max_usd),
        )
        return next((name for name, have, most in used if most is not None and have >= most), None)
