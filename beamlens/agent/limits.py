"""What ends a run that does not end by itself, and how it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeGuard

from beamlens.errors import ConfigError
from beamlens.llm.client import Usage

if TYPE_CHECKING:
    from beamlens.llm.client import Message

_MAY_BE_ZERO = frozenset({"tool_retries"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a run that does not end by itself; each is separate, and the outcome says which one it was.

    ``None`` is no limit. Those on tokens, money and calls are checked before each model call, so they are passed by
    the call in flight at most.

    Attributes:
        max_iterations: Most model calls.
        deadline: Seconds for the whole run.
        max_fruitless: Most turns in a row without one tool call that succeeded.
        max_tokens: Most tokens of one answer.
        tool_timeout: Seconds for one tool call with all its attempts, unless the tool has its own.
        call_timeout: Seconds for one model call; by default the instance's ``llm_timeout``.
        max_tool_turns: Most turns in which the model used tools.
        max_total_tokens: Most tokens of all calls of the run.
        max_usd: Most US dollars of all calls of the run; an unknown price counts as the dearest known one.
        calls_per_hour: Most model calls of the agent in any hour, over all its runs.
        max_tool_concurrency: Most tool calls of a turn that run at a time; the others wait, in call order.
        tool_retries: How often an idempotent tool that failed is tried again.
    """

    max_iterations: int = 25
    deadline: float | None = None
    max_fruitless: int = 5
    max_tokens: int = 2048
    tool_timeout: float = 30.0
    call_timeout: float | None = None
    max_tool_turns: int | None = None
    max_total_tokens: int | None = None
    max_usd: float | None = None
    calls_per_hour: int | None = None
    max_tool_concurrency: int = 8
    tool_retries: int = 2

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None and each.default is None:
                continue
            if not _is_number(value) or value < 0 or (value == 0 and each.name not in _MAY_BE_ZERO):
                raise ConfigError(f"{each.name} must be a number above 0, not {value!r}", field=each.name)


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        stopped_by: The tool that ended it; ``answered`` where an answer in words ends it; the limit that was reached:
            ``max_iterations``, ``deadline``, ``fruitless``, ``max_tool_turns``, ``max_total_tokens``, ``max_usd``,
            ``calls_per_hour``, ``call_timeout``, ``budget``; or ``aborted``, ``llm_error``, ``empty_answer``,
            ``invalid_transcript``.
        iterations: Model calls that were made.
        usage: Tokens of all of them.
        model: Who answered last.
        error: What failed, if something did.
        ending: The value of the tool that ended it.
        text: The model's last words.
        messages: What the run added to the conversation.
        cost_usd: US dollars of its calls; ``None`` where a price is not known.
        run_id: The run, 16 hex digits.
    """

    stopped_by: str
    iterations: int
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    error: str = ""
    ending: Any = None
    text: str = ""
    messages: tuple[Message, ...] = ()
    cost_usd: float | None = 0.0
    run_id: str = ""

    @property
    def failed(self) -> bool:
        """Whether something broke, rather than ended or was limited."""
        return self.stopped_by in ("llm_error", "call_timeout", "empty_answer", "invalid_transcript")


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
