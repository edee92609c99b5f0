"""The one agent loop: ask the model, run its tools, give back the results, until something ends it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from beamlens.agent.execution import ToolExecution
from beamlens.agent.model import Model
from beamlens.errors import LLMError
from beamlens.llm.client import Completion, Message, Request, Text, Usage
from beamlens.telemetry import run as runs
from beamlens_actors import Aborted, AbortSignal, clock

if TYPE_CHECKING:
    from beamlens.agent.services import Services
    from beamlens.agent.tool import Tool, ToolResult
    from beamlens.llm.client import LLMClient


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a run that does not end by itself; each is separate, and the outcome says which one it was.

    Attributes:
        max_iterations: Most model calls.
        deadline: Seconds for the whole run; ``None``: no limit.
        max_fruitless: Most turns in a row without one tool call that succeeded.
        max_tokens: Most tokens of one answer.
        tool_timeout: Seconds for one tool call, unless the tool has its own.
    """

    max_iterations: int = 25
    deadline: float | None = None
    max_fruitless: int = 5
    max_tokens: int = 2048
    tool_timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        stopped_by: The tool that ended it, or ``max_iterations``, ``deadline``, ``aborted``, ``fruitless``,
            ``llm_error``.
        iterations: Model calls that were made.
        usage: Tokens of all of them.
        model: Who answered last.
        error: What failed, for ``llm_error``.
        ending: The value of the tool that ended it.
    """

    stopped_by: str
    iterations: int
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    error: str = ""
    ending: Any = None


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
    ) -> None:
        """Prepare a run.

        Args:
            services: The instance.
            kind: ``watcher``, ``operator`` or ``coordinator``: the prefix of its events.
            agent: Its name, the sender of its events.
            system: The system prompt.
            tools: What the model may call.
            abort: Stops the run, a model call in flight included.
            limits: What ends it otherwise.
            client: Who answers; by default the instance's primary client.
            facts: The structured facts of the moment, for the offline analyst.
            on_iteration: Is called with the number of each turn as it begins.
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
        self._model = Model(services, kind, agent, client)
        self._messages: list[Message] = []
        self._usage = Usage()
        self._iteration = 0
        self._ending: Any = None

    @property
    def model(self) -> str:
        """Who answers now; ``"offline"`` for the offline analyst."""
        return self._model.name

    def run(self, opening: str | Sequence[Text], trace_id: str | None = None) -> RunOutcome:
        """Run until a tool ends it or a limit is reached; raises nothing that a model, tool or provider did.

        Args:
            opening: The first user message; in parts where some of it is from outside.
            trace_id: Its trace id; by default a new one.
        """
        run = self._services.bus.begin(trace_id)
        token = runs.current.set(run)
        began = clock.monotonic()
        abort = self._abort.child()
        limit = self._limits.deadline
        timer = None if limit is None else clock.call_later(limit, lambda: abort.abort("deadline"))
        try:
            parts = (Text(opening),) if isinstance(opening, str) else tuple(opening)
            self._messages = [Message("user", parts)]
            stopped_by, error = self._turns(run.trace_id, abort)
            took = {"duration": clock.monotonic() - began, "iterations": self._iteration}
            self._services.bus.emit(f"{self._kind}.run_stopped", self._agent, took, stopped_by=stopped_by)
            return RunOutcome(stopped_by, self._iteration, self._usage, self._model.name, error, self._ending)
        finally:
            if timer is not None:
                timer.cancel()
            run.close()
            runs.current.reset(token)

    def _turns(self, trace_id: str, abort: AbortSignal) -> tuple[str, str]:
        execution = ToolExecution(self._services, self._agent, self._tools, abort, self._limits.tool_timeout)
        fruitless = 0
        try:
            while self._iteration < self._limits.max_iterations:
                abort.raise_if_aborted()
                completion = self._ask(trace_id, abort)
                results = execution.execute(completion.tool_calls, self._iteration)
                self._iteration += 1
                self._remember(completion, results)
                if (ending := self._ended_by(completion, results)) is not None:
                    return ending, ""
                fruitless = 0 if any(not result.is_error for result in results) else fruitless + 1
                if fruitless >= self._limits.max_fruitless:
                    return "fruitless", ""
        except Aborted:
            return ("deadline" if abort.reason == "deadline" else "aborted"), ""
        except LLMError as error:
            return "llm_error", str(error)
        return "max_iterations", ""

    def _ask(self, trace_id: str, abort: AbortSignal) -> Completion:
        self._on_iteration(self._iteration)
        request = Request(
            system=self._system,
            messages=tuple(self._messages),
            tools=self._specs,
            facts=self._facts(),
            max_tokens=self._limits.max_tokens,
            timeout=self._services.llm_timeout,
            agent=self._agent,
            trace_id=trace_id,
        )
        completion = self._model.complete(request, self._iteration, abort)
        self._usage += completion.usage
        return completion

    def _remember(self, completion: Completion, results: Sequence[ToolResult]) -> None:
        said = (Text(completion.text),) if completion.text else ()
        if content := (*said, *completion.tool_calls):
            self._messages.append(Message("assistant", content))
        if results:
            self._messages.append(Message("user", tuple(result.output() for result in results)))
            return
        nudge = Text(f"Go on with a tool call. The tools are: {', '.join(self._tools)}.")
        last = self._messages[-1]
        if last.role == "user":  # an answer without any content: two user turns in a row are refused by providers
            self._messages[-1] = dataclasses.replace(last, content=(*last.content, nudge))
        else:
            self._messages.append(Message("user", (nudge,)))

    def _ended_by(self, completion: Completion, results: Sequence[ToolResult]) -> str | None:
        for call, result in zip(completion.tool_calls, results, strict=True):
            if not result.is_error and self._tools[call.name].ends_run:
                self._ending = result.details
                return call.name
        return None
