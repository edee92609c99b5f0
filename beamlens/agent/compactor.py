"""`Compactor`: shortens the conversation of a run that has become too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beamlens.agent.compaction import INSTRUCTIONS, compact, context_tokens, estimated_tokens
from beamlens.errors import BudgetExceeded, LLMError
from beamlens.llm.client import Completion, Message, Request, Text
from beamlens_actors import Aborted, AbortSignal, clock
from beamlens_actors.words import in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from beamlens.agent.model import Model
    from beamlens.agent.services import Services
    from beamlens.agent.tally import Tally
    from beamlens.agent.transcript import Transcript

_SUMMARY_TOKENS = 2048
_GROWTH_UNTIL_NEXT_TRY = 1.25
RECORD = "record"
"""What the record is called inside its fence: much of it is text from outside."""


class Compactor:
    """Looks at the size of the context before each model call. For the offline analyst it does nothing.

    A summary that cannot be had is a signal and leaves the conversation as it is; it is tried again when that has grown
    by a quarter.
    """

    def __init__(
        self,
        services: Services,
        agent: str,
        model: Model,
        tally: Tally,
        pinned: Callable[[], Sequence[Text]] = tuple,
    ) -> None:
        self._services = services
        self._pinned = pinned
        self._agent = agent
        self._model = model
        self._tally = tally
        self._last: Completion | None = None
        self._known = 0
        self._not_below = 0.0

    def answered(self, completion: Completion, talk: Transcript) -> None:
        """The model answered; its answer is the last message."""
        self._last = completion
        self._known = len(talk.messages)

    def size(self, talk: Transcript) -> int:
        """Tokens of the context of the next call, about."""
        if self._last is None:
            return estimated_tokens(talk.messages)
        return context_tokens(self._last, talk.messages[self._known :])

    def look(self, talk: Transcript, iteration: int, trace_id: str, abort: AbortSignal) -> None:
        """Shorten the conversation if it is too large.

        Raises:
            Aborted: The signal fired.
            BudgetExceeded: The summary would cost more than may be spent.
        """
        policy, size = self._services.compaction, self.size(talk)
        if size < max(policy.max_tokens, self._not_below) or self._model.name == self._services.offline.model:
            return
        about = {"agent": self._agent, "iteration": iteration}
        began = clock.monotonic()
        count = len(talk.messages)
        self._emit("start", {"message_count": count, "context_tokens": size}, about)
        try:
            shorter = compact(
                talk.messages,
                policy,
                lambda record: self._summarise(record, iteration, trace_id, abort),
                self._pinned(),
            )
        except (Aborted, BudgetExceeded) as error:
            self._emit("exception", {"duration": clock.monotonic() - began}, {**about, "reason": str(error)})
            raise
        except Exception as error:  # noqa: BLE001 - whatever failed, the run goes on with what it has
            self._not_below = size * _GROWTH_UNTIL_NEXT_TRY
            said = in_words(error)
            self._emit("exception", {"duration": clock.monotonic() - began}, {**about, "reason": said})
            return
        if shorter is None:
            self._not_below = size * _GROWTH_UNTIL_NEXT_TRY
        else:
            talk.shorten(shorter.messages)
            self._last, self._not_below = None, 0.0
        took = {"duration": clock.monotonic() - began}
        numbers = {"message_count": len(talk.messages), "context_tokens": self.size(talk), **took}
        self._emit("stop", numbers, about)

    def _summarise(self, record: str, iteration: int, trace_id: str, abort: AbortSignal) -> str:
        request = Request(
            system=INSTRUCTIONS,
            messages=(Message("user", (Text("The record:"), Text(record, source=RECORD))),),
            max_tokens=_SUMMARY_TOKENS,
            timeout=self._services.llm_timeout,
            agent=self._agent,
            trace_id=trace_id,
        )
        completion = self._model.complete(request, iteration, abort)
        self._tally.answered(completion, self._model.name)
        if self._model.name == self._services.offline.model:
            # It took over meanwhile. What it says is no summary, and it reads facts, not the conversation.
            raise LLMError("the model failed, and the offline analyst took over", kind="response", retryable=False)
        return completion.text

    def _emit(self, what: str, numbers: dict[str, float], about: dict[str, object]) -> None:
        self._services.bus.emit(f"compaction.{what}", self._agent, numbers, **about)
