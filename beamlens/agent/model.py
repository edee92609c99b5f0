"""Calling a model: redacted, timed, told, tried again, and taken over by the offline analyst when it fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from beamlens.agent.supervised import Supervised
from beamlens.agent.transcript import same_start
from beamlens.errors import BudgetExceeded, LLMError
from beamlens.llm.client import Completion, LLMClient, Message, Request, Text, ToolCall, ToolOutput
from beamlens.llm.deltas import OnDelta
from beamlens.llm.deltas import complete as answered_by
from beamlens.llm.fence import fence
from beamlens.llm.pricing import cost
from beamlens.llm.reporting import report_to
from beamlens_actors import AbortSignal, ActorError, clock
from beamlens_actors.words import in_words, text_of
from beamlens_supervision import SupervisionError

if TYPE_CHECKING:
    from beamlens.agent.budget import Lease, Ledger
    from beamlens.agent.services import Services

Block = Text | ToolCall | ToolOutput
Listen = Callable[[], OnDelta]

ATTEMPTS = 3
FIRST_DELAY = 1.0
_GRACE = 2.0


class Model:
    """A client as one run of an agent uses it.

    A call that fails is tried again up to three times in all, after 1 and 2 seconds (seed 001's rule). Then, or at
    once where trying again is no use, the offline analyst takes over for the rest of the run. So it does when the
    instance's budget is spent.
    """

    def __init__(
        self,
        services: Services,
        kind: str,
        agent: str,
        client: LLMClient | None = None,
        *,
        ledger: Ledger | None = None,
        fallback: bool = True,
    ) -> None:
        """Prepare.

        Args:
            services: The instance.
            kind: The prefix of the agent's events.
            agent: Its name.
            client: Who answers; by default the instance's primary client.
            ledger: What this agent may spend, besides the instance's budget. Spent, it ends the run.
            fallback: Whether the offline analyst takes over; otherwise failures are the caller's.
        """
        self._services = services
        self._kind = kind
        self._agent = agent
        asked = client or services.client
        # Another offline analyst is as good as the instance's, which alone is given the facts.
        self._client = services.offline if asked.model == services.offline.model else asked
        report_to(self._client, services.bus)
        self._ledger = ledger
        self._fallback = fallback
        self._outgoing = Outgoing(services.redactor.text)

    @property
    def name(self) -> str:
        """The model that answers now; ``"offline"`` for the offline analyst."""
        return self._client.model

    def complete(
        self, request: Request, iteration: int, abort: AbortSignal, listen: Listen | None = None
    ) -> Completion:
        """Answer a request.

        Args:
            request: What is asked.
            iteration: The turn's number, for its events.
            abort: Ends the call.
            listen: Is called before each attempt, and gives what takes the pieces of that answer.

        Raises:
            Aborted: The signal fired first.
            LLMError: It failed, and nobody took over, or the offline analyst failed too.
            BudgetExceeded: The agent's ledger is spent, or the instance's budget and nobody takes over.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._call(request, iteration, abort, listen)
            except BudgetExceeded as spent:
                if not self._fallback or spent.limit in (self._ledger.limits if self._ledger else ()):
                    raise
                break
            except LLMError as error:
                again = error.retryable and attempt < ATTEMPTS
                self._services.bus.emit(
                    f"{self._kind}.llm_error",
                    self._agent,
                    reason=str(error),
                    retry_count=attempt,
                    will_retry=again,
                )
                if not again:
                    if self._client is self._services.offline or not self._fallback:
                        raise
                    break
                abort.wait(FIRST_DELAY * 2 ** (attempt - 1))
                abort.raise_if_aborted()
        self._client = self._services.offline
        return self._call(request, iteration, abort, listen)

    def _call(self, request: Request, iteration: int, abort: AbortSignal, listen: Listen | None) -> Completion:
        bus, client = self._services.bus, self._client
        if client is not self._services.offline:
            request = self._outgoing.request(request)
            self._services.prompts.add(request, client.model)
        leases = self._reserve(request, client, abort)
        about = {"agent": self._agent, "model": client.model, "iteration": iteration}
        bus.emit("llm.start", self._agent, context_size=len(request.messages), **about)
        began = clock.monotonic()
        try:
            completion = self._answer(client, request, abort, listen)
        except BaseException as error:
            _settle_failed(leases, error)
            if not isinstance(error, LLMError):
                raise
            took = {"duration": clock.monotonic() - began}
            bus.emit("llm.exception", self._agent, took, kind=error.kind, reason=str(error), **about)
            raise
        usage = completion.usage
        for lease in leases:
            lease.settle(completion.model or client.model, usage)
        bus.emit(
            "llm.stop",
            self._agent,
            {
                "duration": clock.monotonic() - began,
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
                "cache_read_tokens": usage.cache_read_tokens,
                "cache_write_tokens": usage.cache_write_tokens,
                "cost_usd": cost(completion.model, usage),
            },
            stop_reason=completion.stop_reason,
            tools_selected=[call.name for call in completion.tool_calls],
            response=completion.text,
            **{**about, "model": completion.model or client.model},
        )
        return completion

    def _reserve(self, request: Request, client: LLMClient, abort: AbortSignal) -> list[Lease]:
        if client is self._services.offline:
            return []
        leases: list[Lease] = []
        for ledger in (self._ledger, self._services.budget):
            if ledger is None:
                continue
            try:
                leases.append(ledger.reserve(client.model, request, abort))
            except BaseException:
                for lease in leases:
                    lease.return_()
                raise
        return leases

    def _answer(self, client: LLMClient, request: Request, abort: AbortSignal, listen: Listen | None) -> Completion:
        on_delta = None if listen is None else listen()
        try:
            if client is self._services.offline:
                # It needs no time, and what stands when nothing else does must not depend on getting a thread.
                return answered_by(client, request, abort=abort, on_delta=on_delta)
            call = Supervised(
                self._services.loop_tasks(),
                lambda: answered_by(client, request, abort=abort, on_delta=on_delta),
                f"{self._agent}:llm",
            )
            return call.result(request.timeout + _GRACE, abort)
        except TimeoutError as error:
            raise LLMError(f"no answer: {text_of(error)}", kind="timeout", retryable=True) from error
        except (ActorError, SupervisionError) as error:
            abort.raise_if_aborted()
            raise LLMError(f"the call could not run: {error}", kind="server", retryable=True) from error
        except LLMError:
            raise
        except Exception as error:
            # A client is foreign code: whatever it raises is a failed call, never the end of the agent.
            abort.raise_if_aborted()
            raise LLMError(in_words(error), kind="response", retryable=False) from error


_NOT_CHARGED = frozenset({"authentication", "rate_limit", "overloaded", "invalid_request"})


def _settle_failed(leases: Sequence[Lease], error: BaseException) -> None:
    # A call that was refused costs nothing. One that was given up may have been answered, and is paid for.
    refused = isinstance(error, LLMError) and error.kind in _NOT_CHARGED
    for lease in leases:
        lease.fail(charged=not refused)


class Outgoing:
    """Requests of a run as they leave: without secrets, and with text from outside fenced.

    The one place that fences, so nothing is fenced twice; after redaction, so no pattern that runs over several lines
    can take a fence away. Each turn sends the whole conversation again: what was done to a message is kept.
    """

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._system = ("", "")
        # Those of the last request, and as what they were sent: a message never changes, and keeps its place.
        self._given: tuple[Message, ...] = ()
        self._sent: list[Message] = []

    def request(self, request: Request) -> Request:
        """The request to send."""
        if request.system != self._system[0]:
            self._system = (request.system, self._redact(request.system))
        same = same_start(self._given, request.messages)
        self._given = request.messages
        self._sent = [*self._sent[:same], *(self._message(message) for message in request.messages[same:])]
        return dataclasses.replace(request, system=self._system[1], messages=tuple(self._sent), facts={})

    def _message(self, message: Message) -> Message:
        content = tuple(_joined(_sent(block, self._redact) for block in message.content))
        return message if content == message.content else dataclasses.replace(message, content=content)


def _sent(block: Block, redact: Callable[[str], str]) -> Block:
    if isinstance(block, Text):
        text = redact(block.text)
        return Text(fence(text, block.source) if block.source else text)
    if isinstance(block, ToolOutput):
        own, outside = block.content[: block.own], block.content[block.own :]
        if not block.source:
            return dataclasses.replace(block, content=redact(block.content), own=0)
        parts = (redact(own).rstrip(), fence(redact(outside), block.source))
        return ToolOutput(block.call_id, "\n".join(part for part in parts if part), block.is_error)
    return block


def _joined(blocks: Iterable[Block]) -> list[Block]:
    """Texts that follow one another as one: the parts of an opening are one text to a model."""
    joined: list[Block] = []
    for block in blocks:
        if joined and isinstance(block, Text) and isinstance(last := joined[-1], Text):
            joined[-1] = Text(f"{last.text}\n{block.text}")
        else:
            joined.append(block)
    return joined


__all__ = ["ATTEMPTS", "Message", "Model", "Outgoing"]
