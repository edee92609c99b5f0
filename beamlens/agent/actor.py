"""`Agent`: a conversation with tools, as an actor that answers at any time."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from beamlens.agent.budget import Budget, Ledger
from beamlens.agent.conversation import AgentState, Conversation, QueueMode
from beamlens.agent.core import default_core
from beamlens.agent.limits import Limits, RunOutcome
from beamlens.agent.loop import AgentLoop
from beamlens.agent.ref import (
    Abort,
    AgentRef,
    AlreadyRunning,
    CannotContinue,
    Continue,
    FollowUp,
    GetConversation,
    Prompt,
    Steer,
    Subscribe,
)
from beamlens.agent.registry import MAIN, AgentKey, check_key
from beamlens.agent.subscribers import Subscription
from beamlens.agent.supervised import GRACE
from beamlens.agent.tool import Tool
from beamlens.agent.transcript import unanswered
from beamlens.errors import BeamlensError, ConfigError
from beamlens.telemetry import new_trace_id
from beamlens_actors import AbortSignal, Actor, ActorDead, ActorError, ExitReason, ReplyError
from beamlens_supervision import SupervisionError, Task

if TYPE_CHECKING:
    from beamlens.agent.core import AgentCore
    from beamlens.agent.events import AgentEvent
    from beamlens.llm.client import LLMClient, Message

logger = logging.getLogger("beamlens.agent")

LOOP_GRACE = 1.0
"""Seconds that a run which was aborted gets to end by itself, its tools' own grace included; then it is killed."""

OnRunEnd = Callable[[RunOutcome], object]


@dataclass(frozen=True, slots=True)
class _RunEnded:
    run_id: str
    again: bool


@dataclass(frozen=True, slots=True)
class _KillRun:
    run_id: str


@dataclass(frozen=True, slots=True)
class AgentSetup:
    """What makes an agent, checked; see `Agent.start`."""

    system_prompt: str
    tools: tuple[Tool, ...]
    client: LLMClient | None
    limits: Limits
    messages: tuple[Message, ...]
    queue_mode: QueueMode
    on_run_end: OnRunEnd | None


class Agent(Actor):
    """Answers prompts with a model and tools. It never blocks: its runs are tasks."""

    _beamlens_ref_class = AgentRef

    @classmethod
    def start(
        cls,
        system_prompt: str,
        tools: Sequence[Tool] = (),
        client: LLMClient | None = None,
        limits: Limits | None = None,
        session: str | None = None,
        *,
        role: str = MAIN,
        index: int = 0,
        core: AgentCore | None = None,
        messages: Sequence[Message] = (),
        queue_mode: QueueMode = "one_at_a_time",
        on_run_end: OnRunEnd | None = None,
    ) -> AgentRef:
        """Start an agent, registered under ``(session, role, index)``.

        Args:
            system_prompt: What the model is told first.
            tools: What it may call.
            client: Who answers; by default the core's, if it has one. There is no other to take over when it fails.
            limits: What ends a run that does not end by itself.
            session: Its session's id; by default a new one.
            role: Its role in the session.
            index: Its number among those of that role.
            core: What it runs on; by default one that all agents of the process share.
            messages: The conversation so far.
            queue_mode: Whether queued messages are taken one or all at a time.
            on_run_end: Is called with the outcome of each run, on another thread; must be quick.

        Raises:
            ConfigError: A value that cannot be.
            AlreadyRegistered: An agent of that key runs; carries it.
        """
        setup = AgentSetup(
            system_prompt, tuple(tools), client, limits or Limits(), tuple(messages), queue_mode, on_run_end
        )
        check_setup(setup)
        ground = core or default_core()
        key = check_key((session or secrets.token_hex(8), role, index))
        launcher = cls.options(name=f"agent:{'/'.join(map(str, key))}", register=(ground.registry, key))
        ref = launcher.start(ground, key, setup)
        return cast("AgentRef", ref)

    def __init__(self, core: AgentCore, key: AgentKey, setup: AgentSetup, talk: Conversation | None = None) -> None:
        super().__init__()
        self._core = core
        self._key = key
        self._setup = setup
        self._talk = talk or Conversation(key.session_id, setup.messages, setup.queue_mode)
        self._stopped = AbortSignal()
        self._abort = self._stopped.child()
        self._task: Task[RunOutcome] | None = None
        self._ledger = hourly(setup.limits)

    def on_start(self) -> None:
        """Be ready; see to it that its run ends with it, also when it is killed."""
        stopped, talk = self._stopped, self._talk

        def ended(_ref: object, _reason: ExitReason) -> None:
            talk.close()
            stopped.abort("the agent ended")

        self.actor_ref.add_exit_callback(ended)

    def on_receive(self, message: Any) -> Any:
        """Its ref's requests, and what becomes of its runs."""
        match message:
            case GetConversation():
                return self._talk
            case Prompt(messages=prompts):
                return self._prompt(prompts)
            case Continue():
                return self._continue()
            case Steer(message=said):
                self._talk.steer(said)
            case FollowUp(message=said):
                self._talk.follow_up(said)
            case Abort(reason=reason):
                self._stop_run(reason)
            case Subscribe():
                return self._subscribe(message)
            case _RunEnded(run_id=run_id, again=again):
                if again and self._talk.state().run_id == run_id:
                    self._begin(self._talk.pull("follow_ups", run_id))
            case _KillRun(run_id=run_id):
                if self._task is not None and self._talk.running and self._talk.state().run_id == run_id:
                    self._task.cancel()
        return None

    def on_terminate(self, reason: ExitReason) -> None:
        """Stop the run."""
        self._stopped.abort(reason)

    # -- requests --------------------------------------------------------------------------------------------

    def _prompt(self, prompts: Sequence[Message]) -> str:
        if self._talk.running:
            raise ReplyError(AlreadyRunning("the agent runs; steer it, or have it follow up"))
        return self._begin(prompts)

    def _continue(self) -> str:
        if self._talk.running:
            raise ReplyError(AlreadyRunning("the agent runs"))
        messages = self._talk.state().messages
        if not messages:
            raise ReplyError(CannotContinue("there are no messages to go on from"))
        cut_off = unanswered(messages)
        if messages[-1].role == "assistant" and cut_off is None:
            raise ReplyError(CannotContinue("the last message is the model's own"))
        return self._begin([] if cut_off is None else [cut_off])

    def _subscribe(self, request: Subscribe) -> Subscription:
        try:
            return self._talk.subscribers.add(request.subscriber, request.wish)
        except ConfigError as error:
            raise ReplyError(error) from error

    def _stop_run(self, reason: object) -> None:
        if self._talk.running and self._abort.abort(reason):
            self.send_after(LOOP_GRACE, _KillRun(self._talk.state().run_id))

    # -- runs ------------------------------------------------------------------------------------------------

    def _begin(self, prompts: Sequence[Message]) -> str:
        run_id, trace_id = secrets.token_hex(8), new_trace_id()
        talk = self._talk
        self._abort = self._stopped.child()
        try:
            history = talk.begin(run_id, trace_id)
        except ActorDead as dead:
            raise ReplyError(dead) from dead
        loop = self._make_loop(run_id)
        try:
            self._task = self._core.services.loop_tasks().run_nolink(
                loop.run, list(prompts), trace_id, history, name=f"{self.actor_ref.name}:run", shutdown=GRACE
            )
        except (ActorError, SupervisionError) as error:
            talk.idle()
            raise ReplyError(BeamlensError(f"the run could not be started: {error}")) from error
        abort = self._abort
        self._task.add_done_callback(lambda task: self._run_ended(task, run_id, abort))
        return run_id

    def _run_ended(self, task: Task[RunOutcome], run_id: str, abort: AbortSignal) -> None:
        # On whatever thread ended the task: it must be told even if this actor is gone.
        result = task.outcome()
        abort.abort("the run ended")  # a thread that was abandoned must not go on asking models
        again = self._talk.finish(run_id, "" if result.ok else repr(result.reason))
        outcome = self._talk.state().outcome
        if self._setup.on_run_end is not None and outcome is not None and not again:
            try:
                self._setup.on_run_end(outcome)
            except Exception:
                logger.exception("on_run_end of %s failed", self.actor_ref.name)
        try:
            self.actor_ref.tell(_RunEnded(run_id, again))
        except ActorError:
            self._talk.idle()

    def _hear(self, event: AgentEvent) -> None:
        # On the run's thread, and before any lock: the agent itself answers at once, whoever is slow.
        self._talk.subscribers.wait_for_room(event)
        self._talk.hear(event)

    def _make_loop(self, run_id: str) -> AgentLoop:
        talk = self._talk
        return AgentLoop(
            self._core.services,
            kind="agent",
            agent=f"{self._key.session_id}/{self._key.role}/{self._key.number}",
            system=self._setup.system_prompt,
            tools=self._setup.tools,
            abort=self._abort,
            limits=self._setup.limits,
            client=self._setup.client,
            until="answer",
            fallback=False,
            listener=self._hear,
            steering=lambda: talk.pull("steering", run_id),
            follow_ups=lambda: talk.pull("follow_ups", run_id),
            ledger=self._ledger,
            run_id=run_id,
            updates=talk.subscribers.want_updates,
            queue=talk.subscribers.fullest,
        )


def hourly(limits: Limits) -> Ledger | None:
    """What an agent may ask in an hour, over all its runs; ``None`` without such a limit."""
    return None if limits.calls_per_hour is None else Ledger(Budget(calls_per_hour=limits.calls_per_hour))


def check_setup(setup: AgentSetup) -> None:
    """Refuse what cannot be an agent.

    Raises:
        ConfigError: Names what is wrong.
    """
    if not isinstance(setup.system_prompt, str):
        raise ConfigError(f"system_prompt must be a text, not {setup.system_prompt!r}", field="system_prompt")
    for tool in setup.tools:
        if not isinstance(tool, Tool):
            raise ConfigError(f"a tool is a Tool, not {tool!r}", field="tools")
        tool.spec()  # a schema that cannot be described fails here rather than in a run
    names = [tool.name for tool in setup.tools]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"two tools are named {', '.join(sorted(repeated))}", field="tools")


__all__ = ["Agent", "AgentState"]
