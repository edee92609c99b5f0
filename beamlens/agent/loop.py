"""The one agent loop: ask the model, run its tools, give back the results, until something ends it."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from beamlens.agent import events
from beamlens.agent.budget import Budget, Ledger
from beamlens.agent.compactor import Compactor
from beamlens.agent.execution import ToolExecution
from beamlens.agent.into import Into
from beamlens.agent.limits import Limits, RunOutcome
from beamlens.agent.model import Model
from beamlens.agent.phases import Phase
from beamlens.agent.reporting import Reporter
from beamlens.agent.tally import Tally
from beamlens.agent.transcript import InvalidTranscript, Transcript, outputs, said
from beamlens.errors import BudgetExceeded, LLMError
from beamlens.llm.client import Completion, Message, Request, Text
from beamlens.telemetry import run as runs
from beamlens_actors import Aborted, AbortSignal, clock

if TYPE_CHECKING:
    from beamlens.agent.events import Listener
    from beamlens.agent.investigations import KeepsInvestigations
    from beamlens.agent.services import Services
    from beamlens.agent.tool import Tool, ToolResult
    from beamlens.llm.client import LLMClient, ToolCall
    from beamlens_actors import EventStream, StreamStats

URGED = "Go on with a tool call."
"""How the model is told so, where words end no run."""

Pull = Callable[[], Iterable[Message]]


def nothing() -> Iterable[Message]:
    """For `Pull`: never anything."""
    return ()


class AgentLoop:
    """One run of one agent. Use it once, on a task thread."""

    def __init__(
        self,
        services: Services,
        *,
        kind: str,
        agent: str,
        system: str,
        tools: Sequence[Tool],
        abort: AbortSignal,
        limits: Limits | None = None,
        client: LLMClient | None = None,
        facts: Callable[[], Mapping[str, Any]] = dict,
        on_iteration: Callable[[int], object] = lambda _iteration: None,
        until: Literal["tool", "answer"] = "tool",
        fallback: bool = True,
        stream: EventStream | None = None,
        listener: Listener | None = None,
        steering: Pull = nothing,
        follow_ups: Pull = nothing,
        ledger: Ledger | None = None,
        run_id: str | None = None,
        updates: Callable[[], bool] = lambda: True,
        queue: Callable[[], StreamStats | None] = lambda: None,
        tells_end: bool = True,
        pinned: Callable[[], Sequence[Text]] = tuple,
    ) -> None:
        """Prepare a run.

        Args:
            services: The instance.
            kind: ``watcher``, ``operator``, ``coordinator`` or ``agent``: the prefix of its events.
            agent: Its name, the sender of its events.
            system: The system prompt.
            tools: What the model may call.
            abort: Stops the run, a model call in flight included.
            limits: What ends it otherwise.
            client: Who answers; by default the instance's primary client.
            facts: The structured facts of the moment, for the offline analyst.
            on_iteration: Is called with the number of each turn as it begins.
            until: Whether only a tool ends the run, or an answer without tool calls too.
            fallback: Whether the offline analyst takes over from a client that fails.
            stream: Takes the run's events; they are dropped and counted where it is full.
            listener: Is called with them too, in order; must be quick.
            steering: Pulled before each model call: what the user adds meanwhile.
            follow_ups: Pulled when the run would end with an answer: what is to be done next.
            ledger: What the agent may spend, over all its runs; by default one for ``limits.calls_per_hour``.
            run_id: The run's id; by default a new one.
            updates: Whether somebody wants the model's answer in pieces; asked before each call. Where nobody listens,
                it is not.
            queue: How full the queue behind `listener` is, if there is one; by default that of `stream`.
            tells_end: Whether it emits ``run_stopped``; not where it is a part of a longer run.
            pinned: What stays word for word when the conversation is shortened.
        """
        self._services = services
        self._kind = kind
        self._agent = agent
        self._system = system
        self._tools = {tool.name: tool for tool in tools}
        self._specs = tuple(tool.spec() for tool in tools)
        self._limits = limits or Limits()
        self._abort = abort
        self._facts = facts
        self._on_iteration = on_iteration
        self._until = until
        into = None if stream is None else Into(stream)
        self._queue = queue if into is None else into.stats
        heard = _both(into, listener)
        # Whoever keeps the run wants no pieces.
        self._updates = updates if heard is not None else lambda: False
        self._listener = heard
        self._steering = steering
        self._follow_ups = follow_ups
        self._tells_end = tells_end
        self.run_id = run_id or secrets.token_hex(8)
        if ledger is None and self._limits.calls_per_hour is not None:
            ledger = Ledger(Budget(calls_per_hour=self._limits.calls_per_hour))
        self._model = Model(services, kind, agent, client, ledger=ledger, fallback=fallback)
        if services.investigations is not None and kind != "agent":
            self._listener = _both(heard, self._kept_by(services.investigations))
        self._report: Reporter
        self._talk = Transcript()
        self._tally = Tally()
        self._compactor = Compactor(services, agent, self._model, self._tally, pinned)
        self._ending: Any = None
        self._text = ""

    def _kept_by(self, investigations: KeepsInvestigations) -> Listener:
        return investigations.listener(self._agent, self._system, self._specs, self._model.name, self._limits)

    @property
    def model(self) -> str:
        """Who answers now; ``"offline"`` for the offline analyst."""
        return self._model.name

    def messages(self) -> tuple[Message, ...]:
        """The conversation up to the last turn that is whole; any thread."""
        messages = self._talk.messages
        while messages and messages[-1].role == "assistant":
            messages = messages[:-1]
        return messages

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The conversation to its end, with `history` and summaries: once it ended, another run may go on with it."""
        return self._talk.messages

    def run(
        self,
        opening: str | Sequence[Text | Message],
        trace_id: str | None = None,
        history: Sequence[Message] = (),
    ) -> RunOutcome:
        """Run until a tool ends it or a limit is reached; raises nothing that a model, tool or provider did.

        Args:
            opening: The first user message, in parts where some of it is from outside, or several messages; none to
                go on where `history` ends.
            trace_id: Its trace id; by default a new one.
            history: The conversation before.
        """
        run = self._services.bus.begin(trace_id)
        token = runs.current.set(run)
        began = clock.monotonic()
        abort = self._abort.child()
        limit = self._limits.deadline
        timer = None if limit is None else clock.call_later(limit, lambda: abort.abort("deadline"))
        # Somebody listens for the whole run: else each who listens for a moment is tied to all parents, and untied.
        forget = abort.on_abort(nothing)
        prompts = _prompts(opening)
        self._report = Reporter(
            self._services, self._agent, self.run_id, run.trace_id, self._listener, queue=self._queue
        )  # fmt: skip
        try:
            self._begin(prompts, history)
            outcome = self._outcome(*self._turns(run.trace_id, abort))
            if self._tells_end:
                took = {"duration": clock.monotonic() - began, "iterations": outcome.iterations}
                self._services.bus.emit(f"{self._kind}.run_stopped", self._agent, took, stopped_by=outcome.stopped_by)
            self._report.run_ended(outcome, abort.reason)
            return outcome
        finally:
            forget()
            if timer is not None:
                timer.cancel()
            run.close()
            runs.current.reset(token)

    def _begin(self, prompts: Sequence[Message], history: Sequence[Message]) -> None:
        self._talk = Transcript(history)
        self._report.phases.move(Phase.INITIALIZING)
        self._report.run_started(len(prompts), len(history), len(self._tools), self._model.name)
        for prompt in prompts:
            self._add(prompt)

    def _add(self, message: Message) -> None:
        self._talk.add(message)
        self._report.message(message)

    def _outcome(self, stopped_by: str, error: str) -> RunOutcome:
        phase = self._report.phases
        if stopped_by in ("llm_error", "call_timeout") and phase.now is Phase.AWAIT_MODEL:
            phase.move(Phase.RECOVERING_PROVIDER_ERROR)
        phase.move(Phase.ABORTED if stopped_by in ("aborted", "deadline") else Phase.FINALIZING)
        tally = self._tally
        return RunOutcome(
            stopped_by, tally.iterations, tally.usage, self._model.name, error, self._ending, self._text,
            tuple(self._talk.new), tally.cost_usd, self.run_id,
        )  # fmt: skip

    # -- turns -----------------------------------------------------------------------------------------------

    def _turns(self, trace_id: str, abort: AbortSignal) -> tuple[str, str]:
        limits = self._limits
        execution = ToolExecution(
            self._services, self._agent, self._tools, abort, limits.tool_timeout,
            max_concurrency=limits.max_tool_concurrency, retries=limits.tool_retries, events=self._report,
        )  # fmt: skip
        try:
            while (reached := self._tally.reached(limits)) is None:
                abort.raise_if_aborted()
                ended = self._turn(trace_id, abort, execution)
                if ended is not None:
                    return ended
            return reached, ""
        except Aborted:
            return ("deadline" if abort.reason == "deadline" else "aborted"), ""
        except BudgetExceeded as spent:
            own = spent.limit == "calls_per_hour" and limits.calls_per_hour is not None
            return ("calls_per_hour" if own else "budget"), str(spent)
        except InvalidTranscript as invalid:
            return "invalid_transcript", str(invalid)
        except LLMError as error:
            return ("call_timeout" if error.kind == "timeout" else "llm_error"), str(error)

    def _turn(self, trace_id: str, abort: AbortSignal, execution: ToolExecution) -> tuple[str, str] | None:
        for message in self._steering():
            self._add(message)
        iteration = self._tally.iterations
        self._report.tell(events.TurnStart, iteration)
        self._report.phases.move(Phase.AWAIT_MODEL)
        self._compactor.look(self._talk, iteration, trace_id, abort)
        completion = self._ask(trace_id, abort)
        self._report.phases.move(Phase.NORMALIZING_RESPONSE)
        completion = self._normalized(completion)
        results = self._execute(completion, execution, iteration)
        self._tally.turn(used_tools=bool(results), fruitful=any(not result.is_error for result in results))
        self._report.turn_ended(iteration, results)
        for call, result in zip(completion.tool_calls, results, strict=True):
            if not result.is_error and self._tools[call.name].ends_run:
                self._ending = result.details
                return call.name, ""
        if results:
            return None
        abort.raise_if_aborted()
        return self._without_tools(completion)

    def _ask(self, trace_id: str, abort: AbortSignal) -> Completion:
        self._on_iteration(self._tally.iterations)
        self._talk.check()
        limits = self._limits
        request = Request(
            system=self._system,
            messages=self._talk.messages,
            tools=self._specs,
            facts=self._facts(),
            max_tokens=limits.max_tokens,
            timeout=self._services.llm_timeout if limits.call_timeout is None else limits.call_timeout,
            agent=self._agent,
            trace_id=trace_id,
        )
        wanted = self._listener is not None and self._updates()
        try:
            completion = self._model.complete(
                request, self._tally.iterations, abort, self._report.listen if wanted else None
            )
        except BaseException as error:
            self._report.answer_ended(None, str(error) or type(error).__name__)
            self._report.turn_ended(self._tally.iterations, ())
            raise
        self._tally.answered(completion, self._model.name)
        return completion

    def _normalized(self, completion: Completion) -> Completion:
        completion = self._talk.normalized(completion)
        calls = tuple(self._named(call) for call in completion.tool_calls)
        if calls != completion.tool_calls:
            completion = dataclasses.replace(completion, tool_calls=calls)
        message = said(completion)
        self._report.answer_ended(message)
        if message is not None:
            self._talk.add(message)
        self._compactor.answered(completion, self._talk)
        return completion

    def _named(self, call: ToolCall) -> ToolCall:
        """The call with its tool's name, which models write with other white space."""
        if isinstance(call.name, str) and call.name in self._tools:
            return call
        name = " ".join(str(call.name).split())
        if name == call.name:
            return call
        if name in self._tools:
            self._report.name_normalized(str(call.name), name)
        return dataclasses.replace(call, name=name)

    def _execute(self, completion: Completion, execution: ToolExecution, iteration: int) -> list[ToolResult]:
        if not completion.tool_calls:
            return []
        self._report.phases.move(Phase.EXECUTING_TOOLS)
        results = execution.execute(completion.tool_calls, iteration)
        self._report.phases.move(Phase.AWAITING_TOOL_RESULTS)
        self._add(outputs(results))
        return results

    def _without_tools(self, completion: Completion) -> tuple[str, str] | None:
        if self._until == "answer":
            self._text = completion.text
            if not completion.text.strip():
                return "empty_answer", "the model answered nothing"
            more = list(self._follow_ups())
            for message in more:
                self._add(message)
            if more:
                self._tally.next_task()
            return None if more else ("answered", "")
        if self._tally.fruitless < self._limits.max_fruitless:
            self._add(Message.user(f"{URGED} The tools are: {', '.join(self._tools)}."))
        return None


def _both(one: Listener | None, other: Listener | None) -> Listener | None:
    if one is None or other is None:
        return one or other

    def tell(event: events.AgentEvent) -> None:
        one(event)
        other(event)

    return tell


def _prompts(opening: str | Sequence[Text | Message]) -> list[Message]:
    if isinstance(opening, str):
        return [Message.user(opening)]
    messages: list[Message] = []
    for part in opening:
        if isinstance(part, Message):
            messages.append(part)
        elif messages:
            messages[-1] = dataclasses.replace(messages[-1], content=(*messages[-1].content, part))
        else:
            messages.append(Message("user", (part,)))
    return messages
