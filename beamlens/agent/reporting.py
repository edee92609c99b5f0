"""Telling what a run does: as events to its listener, and as telemetry."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from beamlens.agent import events
from beamlens.agent.execution import ToolEvents
from beamlens.agent.phases import Phases
from beamlens.agent.speech import SoFar, Speech
from beamlens_actors import clock

if TYPE_CHECKING:
    from beamlens.agent.events import AgentEvent, Listener
    from beamlens.agent.limits import RunOutcome
    from beamlens.agent.services import Services
    from beamlens.agent.tool import ToolResult
    from beamlens.agent.trust import Trust
    from beamlens.llm.client import Message, ToolCall
    from beamlens.llm.deltas import Delta, OnDelta
    from beamlens_actors import StreamStats


class Reporter(ToolEvents):
    """One run's events; where nobody listens, none is made."""

    def __init__(
        self,
        services: Services,
        agent: str,
        run_id: str,
        trace_id: str,
        listener: Listener | None,
        *,
        queue: Callable[[], StreamStats | None] = lambda: None,
    ) -> None:
        self._bus = services.bus
        self._agent = agent
        self._run_id = run_id
        self._trace_id = trace_id
        self._listener = listener
        self._queue = queue
        self._speech: Speech | None = None  # of the answer that is waited for
        self._heard: SoFar | None = None  # of a message that was begun and has not ended
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

    def turn_ended(self, iteration: int, results: Sequence[ToolResult]) -> None:
        """A turn is over."""
        self.tell(events.TurnEnd, iteration, tuple(results))
        stats = self._queue()
        if stats is not None:
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

    def listen(self) -> OnDelta:
        """A model is about to be asked; what takes the pieces of its answer, on the client's thread.

        From now on those of an answer before are dropped: it broke off, or was given up.
        """
        speech = Speech()
        with self._gate:
            self._speech = speech
        return lambda delta: self._hear(speech, delta)

    def _hear(self, speech: Speech, delta: Delta) -> None:
        with self._gate:
            if self._speech is not speech:
                return
            if not speech.deltas:
                self.tell(events.MessageStart, "assistant", self._heard is not None)
            self._heard = speech.add(delta)
            self.tell(events.MessageUpdate, delta, self._heard)

    def answer_ended(self, message: Message | None, error: str = "") -> None:
        """The answer is complete, or will not be: then what was heard of it is its end."""
        with self._gate:
            speech, self._speech = self._speech, None
            heard, self._heard = self._heard, None
        if message is not None and (speech is None or not speech.deltas):
            self.tell(events.MessageStart, "assistant", heard is not None)
        if message is not None:
            self.tell(events.MessageEnd, message, error)
        elif heard is not None:
            self.tell(events.MessageEnd, heard.broken_off(), error)

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
