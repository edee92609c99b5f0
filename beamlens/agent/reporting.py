"""Telling what a run does: as events to its listener, and as telemetry."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from beamlens.agent import events
from beamlens.agent.execution import ToolEvents
from beamlens.agent.phases import Phases
from beamlens.llm.client import Message, Text
from beamlens_actors import clock

if TYPE_CHECKING:
    from beamlens.agent.events import AgentEvent, Listener
    from beamlens.agent.limits import RunOutcome
    from beamlens.agent.services import Services
    from beamlens.agent.tool import ToolResult
    from beamlens.agent.trust import Trust
    from beamlens.llm.client import ToolCall
    from beamlens_actors import EventStream


class Reporter(ToolEvents):
    """One run's events; where nobody listens, none is made."""

    def __init__(self, services: Services, agent: str, run_id: str, trace_id: str, listener: Listener | None) -> None:
        self._bus = services.bus
        self._agent = agent
        self._run_id = run_id
        self._trace_id = trace_id
        self._listener = listener
        self._speaking = False
        self._spoken: list[str] = []
        self._gate = threading.Lock()
        self._began = clock.monotonic()
        self.phases = Phases(self._phase_changed)

    def tell(self, kind: type[AgentEvent], *args: Any) -> None:
        """Tell an event."""
        if self._listener is not None:
            self._listener(kind(self._run_id, self._trace_id, *args))

    # -- a run -----------------------------------------------------------------------------------------------

    def run_started(self, prompts: int, messages: int, tools: int, model: str) -> None:
        """A run begins."""
        numbers = {"prompt_count": prompts, "message_count": messages, "tool_count": tools}
        self._bus.emit("agent_core.loop.start", self._agent, numbers, run_id=self._run_id, model=model)
        self.tell(events.AgentStart)

    def run_ended(self, outcome: RunOutcome, reason: object) -> None:
        """A run is over."""
        if outcome.stopped_by == "aborted":
            self.tell(events.AgentCancelled, reason)
        elif outcome.failed:
            self.tell(events.AgentError, outcome.error)
        numbers = {"duration": clock.monotonic() - self._began, "message_count": len(outcome.messages)}
        self._bus.emit(
            "agent_core.loop.end",
            self._agent,
            numbers,
            run_id=self._run_id,
            model=outcome.model,
            status=outcome.stopped_by,
        )
        self.tell(events.AgentEnd, outcome)

    def turn_ended(self, iteration: int, results: Sequence[ToolResult], stream: EventStream | None) -> None:
        """A turn is over."""
        self.tell(events.TurnEnd, iteration, tuple(results))
        if stream is not None:
            stats = stream.stats()
            numbers = {"depth": stats.size, "max_queue": stats.capacity, "dropped": stats.dropped}
            self._bus.emit("agent_core.event_stream.queue_depth", self._agent, numbers, run_id=self._run_id)

    def _phase_changed(self, before: str, after: str) -> None:
        self._bus.emit(
            "agent_core.loop.state_transition",
            self._agent,
            run_id=self._run_id,
            from_state=before,
            to_state=after,
        )

    # -- messages --------------------------------------------------------------------------------------------

    def message(self, message: Message) -> None:
        """A message that is there at once."""
        self.tell(events.MessageStart, message.role)
        self.tell(events.MessageEnd, message)

    def listen_to_answer(self) -> None:
        """A model is about to be asked."""
        with self._gate:
            self._speaking, self._spoken = True, []

    def answer_update(self, text: str) -> None:
        """A piece of the answer, on the client's thread. One that comes after its end is dropped."""
        with self._gate:
            if not self._speaking:
                return
            if not self._spoken:
                self.tell(events.MessageStart, "assistant")
            self._spoken.append(text)
            self.tell(events.MessageUpdate, text)

    def answer_ended(self, message: Message | None, error: str = "") -> None:
        """The answer is complete, or will not be: then what was heard of it is its end."""
        with self._gate:
            spoken, self._spoken, self._speaking = self._spoken, [], False
        if message is None and not spoken:
            return
        if not spoken:
            self.tell(events.MessageStart, "assistant")
        whole = message if message is not None else Message("assistant", (Text("".join(spoken)),))
        self.tell(events.MessageEnd, whole, error)

    # -- tools -----------------------------------------------------------------------------------------------

    def tool_started(self, call: ToolCall) -> None:
        """See `ToolEvents`."""
        self.tell(events.ToolExecutionStart, call.id, call.name, call.arguments)

    def tool_updated(self, call: ToolCall, partial: Any, trust: Trust) -> None:
        """See `ToolEvents`."""
        self.tell(events.ToolExecutionUpdate, call.id, call.name, partial, trust)

    def tool_ended(self, call: ToolCall, result: ToolResult) -> None:
        """See `ToolEvents`."""
        self.tell(events.ToolExecutionEnd, call.id, call.name, result)

    def name_normalized(self, original: str, matched: str) -> None:
        """A tool's name was written with other white space."""
        self._bus.emit(
            "agent_core.tool_call.name_normalized",
            self._agent,
            original_name=original,
            matched_tool_name=matched,
        )
