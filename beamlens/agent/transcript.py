"""The conversation of a run: what may stand in it, and the repairs that keep it so."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable, Sequence
from itertools import takewhile
from operator import is_
from typing import TYPE_CHECKING

from beamlens.errors import BeamlensError
from beamlens.llm.client import Completion, Message, Text, ToolCall, ToolOutput

if TYPE_CHECKING:
    from beamlens.agent.tool import ToolResult


class InvalidTranscript(BeamlensError):  # noqa: N818 - as the other errors are named
    """Calls and results of a conversation do not match; nothing was sent.

    Attributes:
        violations: What is wrong, one sentence each.
    """

    def __init__(self, violations: Sequence[str]) -> None:
        super().__init__("; ".join(violations))
        self.violations = tuple(violations)


class Transcript:
    """Messages, oldest first, of alternating roles."""

    def __init__(self, history: Iterable[Message] = ()) -> None:
        self._messages: list[Message] = []
        for message in history:
            self._merge(message)
        # Merging changes the last old message, so what is new is kept apart.
        self.new: list[Message] = []
        self._pairs = Pairs()
        self._paired = 0
        self._ids = {b.id for m in self._messages for b in m.content if isinstance(b, ToolCall)}

    @property
    def messages(self) -> tuple[Message, ...]:
        """All of them, as they are sent."""
        return tuple(self._messages)

    def add(self, message: Message) -> None:
        """Add a message; one of the same role as the last is merged into it, as providers refuse two in a row."""
        self.new.append(message)
        self._merge(message)

    def _merge(self, message: Message) -> None:
        last = self._messages[-1] if self._messages else None
        if last is not None and last.role == message.role:
            self._messages[-1] = dataclasses.replace(last, content=(*last.content, *message.content))
        else:
            self._messages.append(message)

    def shorten(self, messages: Iterable[Message]) -> None:
        """Go on with a summary and the last messages. `new` stays whole."""
        self._messages = list(messages)
        self._pairs, self._paired = Pairs(), 0

    def normalized(self, completion: Completion) -> Completion:
        """The answer with an id of its own for each call: models repeat them, and results are matched by id."""
        calls = tuple(call if self._is_new(call) else self._renamed(call) for call in completion.tool_calls)
        return completion if calls == completion.tool_calls else dataclasses.replace(completion, tool_calls=calls)

    def _is_new(self, call: ToolCall) -> bool:
        """Whether its id is one, and nobody's yet; then it is this call's."""
        if not isinstance(call.id, str) or not call.id or call.id in self._ids:
            return False
        self._ids.add(call.id)
        return True

    def _renamed(self, call: ToolCall) -> ToolCall:
        fresh = dataclasses.replace(call, id=f"call_{secrets.token_hex(6)}")
        self._ids.add(fresh.id)
        return fresh

    def check(self) -> None:
        """Compare calls with results, before anything is sent.

        Raises:
            InvalidTranscript: One is missing, surplus, repeated, or in the wrong place.
        """
        messages, pairs = self._messages, self._pairs
        violations: list[str] = []
        # Only what has come since the last time. The last message may still grow, so it is looked at each time.
        for message in messages[self._paired : -1]:
            violations += pairs.violations(message)
            pairs.take(message)
        if messages:
            violations += pairs.violations(messages[-1])
            violations += _unanswered(_calls(messages[-1]))
        if violations:
            self._pairs, self._paired = Pairs(), 0
            raise InvalidTranscript(violations)
        self._paired = max(0, len(messages) - 1)


def said(completion: Completion) -> Message | None:
    """The answer as a message; ``None`` when it is empty."""
    words = (Text(completion.text),) if completion.text else ()
    content = (*words, *completion.tool_calls)
    return Message("assistant", content) if content else None


def outputs(results: Sequence[ToolResult]) -> Message:
    """The results of a turn as a message."""
    return Message("user", tuple(each.output() for each in results))


def same_start(one: Sequence[Message], other: Sequence[Message]) -> int:
    """How many messages at their beginning are the very same; each request of a run begins as the one before."""
    return sum(takewhile(bool, map(is_, one, other)))


class Pairs:
    """Whether calls and results match, message after message."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._open: list[str] = []

    def violations(self, message: Message) -> Iterable[str]:
        """What is wrong with `message` after those that were taken."""
        answered = [block.call_id for block in message.content if isinstance(block, ToolOutput)]
        for index, call_id in enumerate(answered):
            if call_id in answered[:index]:
                yield f"the call {call_id!r} has two results"
            elif call_id not in self._open:
                yield f"the result {call_id!r} answers no call of the message before"
        yield from _unanswered(call_id for call_id in self._open if call_id not in answered)
        here: set[str] = set()
        for call_id in _calls(message):
            if not call_id:
                yield "a call has no id"
            elif call_id in self._seen or call_id in here:
                yield f"the call id {call_id!r} is used twice"
            here.add(call_id)

    def take(self, message: Message) -> None:
        """Go on to the message after this one."""
        self._open = _calls(message)
        self._seen.update(self._open)


def _calls(message: Message) -> list[str]:
    return [block.id for block in message.content if isinstance(block, ToolCall)]


def _unanswered(call_ids: Iterable[str]) -> Iterable[str]:
    return (f"the call {call_id!r} has no result" for call_id in call_ids)


def unanswered(messages: Sequence[Message]) -> Message | None:
    """Results for the calls at the end of a conversation that have none: its run was cut off."""
    last = messages[-1] if messages else None
    calls = [] if last is None else [block for block in last.content if isinstance(block, ToolCall)]
    text = "the run ended before the tool did"
    return Message("user", tuple(ToolOutput(call.id, text, is_error=True) for call in calls)) if calls else None
