"""A session's state: changed by its run as it goes, read by anybody at any time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from beamlens.agent import events
from beamlens.agent.limits import RunOutcome
from beamlens.agent.subscribers import Subscribers
from beamlens.agent.transcript import unanswered
from beamlens_actors import ActorDead
from beamlens_actors.waiting import Condition

if TYPE_CHECKING:
    from beamlens.agent.events import AgentEvent
    from beamlens.agent.speech import SoFar
    from beamlens.llm.client import Message

QueueMode = Literal["one_at_a_time", "all"]


@dataclass(frozen=True, slots=True)
class AgentState:
    """An agent at one moment.

    Attributes:
        session_id: Its session.
        running: Whether a run goes on.
        run_id: The run, or the last one.
        messages: The conversation so far.
        partial: What the model has said of the answer under way, where a subscriber wants it in pieces.
        pending_tool_calls: Ids of the calls that run.
        iteration: Model calls of the run.
        error: Why the last run failed; empty when it did not.
        outcome: How the last run ended.
        steering: Messages that wait for the next model call.
        follow_ups: Messages that wait for the run to answer.
        subscribers: How many there are.
    """

    session_id: str
    running: bool
    run_id: str
    messages: tuple[Message, ...]
    partial: str
    pending_tool_calls: frozenset[str]
    iteration: int
    error: str
    outcome: RunOutcome | None
    steering: int
    follow_ups: int
    subscribers: int


class Conversation:
    """State, queues and subscribers of one agent. Thread-safe.

    Events of a run that is not the current one are dropped: it was given up, and whatever it does is void.
    """

    def __init__(
        self,
        session_id: str,
        messages: Sequence[Message],
        mode: QueueMode,
        *,
        before: Conversation | None = None,
        keep: Callable[[AgentEvent], object] | None = None,
        outcome: RunOutcome | None = None,
    ) -> None:
        """Begin one.

        Args:
            session_id: Its session.
            messages: What was said before.
            mode: Whether queued messages are taken one or all at a time.
            before: That of an actor that crashed, and whose subscribers and queues are taken over.
            keep: Is given each event that counts, in order; must not block.
            outcome: How the last run before ended.
        """
        self.session_id = session_id
        self.subscribers: Subscribers = Subscribers(session_id) if before is None else before.subscribers
        self._mode = mode
        self._keep = keep
        # Re-entrant: a subscriber's mailbox may run its end here, and with it anybody's callbacks.
        self._changed = Condition()
        self._messages = list(messages)
        self._current = ""
        self._run_id = "" if outcome is None else outcome.run_id
        self._trace_id = ""
        self._heard: SoFar | None = None
        self._pending: set[str] = set()
        self._iteration = 0
        self._error = "" if outcome is None else outcome.error
        self._outcome = outcome
        self._told_end = False
        self._closed = False
        self._let_go = False
        self._steering: deque[Message] = deque() if before is None else before._steering  # noqa: SLF001 - of this class
        self._follow_ups: deque[Message] = deque() if before is None else before._follow_ups  # noqa: SLF001

    def state(self) -> AgentState:
        """How it is now."""
        with self._changed:
            return AgentState(
                session_id=self.session_id,
                running=bool(self._current),
                run_id=self._run_id,
                messages=tuple(self._messages),
                partial="" if self._heard is None else self._heard.text(),
                pending_tool_calls=frozenset(self._pending),
                iteration=self._iteration,
                error=self._error,
                outcome=self._outcome,
                steering=len(self._steering),
                follow_ups=len(self._follow_ups),
                subscribers=len(self.subscribers),
            )

    @property
    def running(self) -> bool:
        """Whether a run goes on."""
        return bool(self._current)

    # -- queues ----------------------------------------------------------------------------------------------

    def steer(self, message: Message) -> None:
        """Say something before the next model call."""
        self._steering.append(message)

    def follow_up(self, message: Message) -> None:
        """Say something once the run has answered."""
        with self._changed:
            self._follow_ups.append(message)

    def pull(self, queue: Literal["steering", "follow_ups"], run_id: str) -> list[Message]:
        """What a run takes from a queue; nothing for a run that was given up."""
        with self._changed:
            if run_id != self._current:
                return []
            waiting = self._steering if queue == "steering" else self._follow_ups
            count = len(waiting) if self._mode == "all" else min(1, len(waiting))
            return [waiting.popleft() for _ in range(count)]

    # -- a run -----------------------------------------------------------------------------------------------

    def begin(self, run_id: str, trace_id: str) -> tuple[Message, ...]:
        """A run begins; the conversation before it.

        Raises:
            ActorDead: The agent has ended: it was killed while it was about to begin.
        """
        with self._changed:
            if self._closed:
                raise ActorDead(f"the agent of session {self.session_id!r} has ended")
            self._current = self._run_id = run_id
            self._trace_id = trace_id
            self._told_end = False
            self._error, self._heard, self._iteration = "", None, 0
            self._pending.clear()
            return tuple(self._messages)

    def hear(self, event: AgentEvent) -> None:
        """An event of a run: state first, then subscribers."""
        with self._changed:
            if event.run_id != self._current or self._told_end:
                return
            self._apply(event)
            if self._keep is not None:
                self._keep(event)
            self.subscribers.offer(event)

    def _apply(self, event: AgentEvent) -> None:
        match event:
            case events.TurnStart(iteration=iteration):
                self._iteration = iteration
            case events.MessageStart():
                self._heard = None
            case events.MessageUpdate(so_far=heard):
                self._heard = heard
            case events.MessageEnd(message=message):
                self._heard = None
                if message.content:  # of an answer that broke off there may be nothing
                    self._messages.append(message)
            case events.ToolExecutionStart(call_id=call_id):
                self._pending.add(call_id)
            case events.ToolExecutionEnd(call_id=call_id):
                self._pending.discard(call_id)
            case events.AgentError(reason=reason):
                self._error = reason
            case events.AgentEnd(outcome=outcome):
                self._outcome, self._told_end = outcome, True

    def finish(self, run_id: str, lost: str = "", stopped_by: str = "crashed") -> bool:
        """A run's task has ended; `lost` says how, if not by returning. Its terminal event is told if it was not.

        Returns:
            Whether follow-ups came too late for it: the caller begins the next run with them.
        """
        with self._changed:
            if run_id != self._current:
                return False
            if not self._told_end:
                self._tell_lost(run_id, lost or "it ended without a word", stopped_by)
            answered = self._outcome is not None and self._outcome.stopped_by == "answered"
            if answered and self._follow_ups and not self._closed:
                return True
            self.idle()
            return False

    def idle(self) -> None:
        """No run goes on."""
        with self._changed:
            self._current = ""
            self._pending.clear()
            if self._let_go:
                self.subscribers.end()
            self._changed.notify_all()

    def cut_off(self, reason: str, stopped_by: str) -> None:
        """End the run that goes on, if one does: its actor has ended. What it still does is void."""
        with self._changed:
            if self._current:
                self.finish(self._current, reason, stopped_by)
                self.idle()

    def _tell_lost(self, run_id: str, reason: str, stopped_by: str) -> None:
        # Killed between a call and its result: the next run would send a conversation that nobody accepts.
        trace_id = self._trace_id
        results = unanswered(self._messages)
        if results is not None:
            self.hear(events.MessageStart(run_id, trace_id, results.role))
            self.hear(events.MessageEnd(run_id, trace_id, results))
        outcome = RunOutcome(stopped_by, self._iteration, error=f"the run was lost: {reason}", run_id=run_id)
        if stopped_by == "aborted":
            self.hear(events.AgentCancelled(run_id, trace_id, reason))
        else:
            self.hear(events.AgentError(run_id, trace_id, outcome.error))
        self.hear(events.AgentEnd(run_id, trace_id, outcome))

    # -- waiting ---------------------------------------------------------------------------------------------

    def wait_for_idle(self, timeout: float | None) -> RunOutcome | None:
        """Wait until no run goes on.

        Raises:
            TimeoutError: One does, still.
            ActorDead: The agent has ended.
        """
        with self._changed:
            if not self._changed.wait_until(lambda: not self._current or self._closed, timeout):
                raise TimeoutError(f"the agent still runs after {timeout} s")
            if self._closed:
                raise ActorDead(f"the agent of session {self.session_id!r} has ended")
            return self._outcome

    def close(self, *, let_go: bool = True) -> None:
        """The agent has ended. Subscribers are let go after the end of its run, unless there is a successor."""
        with self._changed:
            self._closed = True
            self._let_go = self._let_go or let_go
            if self._let_go and not self._current:
                self.subscribers.end()
            self._changed.notify_all()
