"""`SessionActor`: an agent whose conversation is kept, and which a supervisor starts again where it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from beamlens.agent.actor import Agent
from beamlens.agent.ref import AgentRef

if TYPE_CHECKING:
    from beamlens.agent.conversation import Conversation
    from beamlens.agent.core import AgentCore
    from beamlens.agent.events import AgentEvent
    from beamlens.agent.limits import Limits, RunOutcome
    from beamlens.agent.session_life import SessionLife
    from beamlens.agent.session_state import SessionHealth, SessionState, SessionStats
    from beamlens.agent.session_supervisor import SessionSupervisor
    from beamlens.agent.tool import Tool
    from beamlens.llm.client import LLMClient
    from beamlens_actors import AbortSignal, ActorRef, ExitReason
    from beamlens_supervision import Task


@dataclass(frozen=True, slots=True)
class GetLife:
    """Ask for what outlives the actor."""


class SessionRef(AgentRef):
    """What `SessionSupervisor.start_session` returns: an agent's ref that knows more.

    It is of one actor: after a crash, `SessionRegistry.lookup` has the ref of the one that took its place.
    """

    def state(self) -> SessionState:
        """How it is at this moment; answered at once, whatever its model, its tools or its disk do."""
        return self._life().state()

    def stats(self) -> SessionStats:
        """Counts; at once."""
        return self._life().stats()

    def health(self) -> SessionHealth:
        """Whether it is well; at once."""
        return self._life().health()

    def _life(self) -> SessionLife:
        life: SessionLife = self.ask(GetLife())
        return life


class SessionActor(Agent):
    """The main agent of a session. What it says is in the journal before it goes on."""

    _beamlens_ref_class = SessionRef

    @classmethod
    def launch(cls, life: SessionLife, talk: Conversation) -> SessionRef:
        """Start one for a session; see `SessionLife`.

        Raises:
            AlreadyRegistered: An agent of that key runs, or a session of that id.
        """
        launcher = cls.options(name=f"session:{label(life.session_id)}", register=(life.core.registry, life.key))
        return cast("SessionRef", launcher.start(life, talk))

    def __init__(self, life: SessionLife, talk: Conversation) -> None:
        super().__init__(life.core, life.key, life.agent, talk)
        self._life = life
        self._ledger = life.ledger  # calls before a crash count

    def on_start(self) -> None:
        """Be found; see to it that a run ends with it, also when it is killed."""
        life, talk, stopped = self._life, self._talk, self._stopped

        def ended(_ref: ActorRef[Any], reason: ExitReason) -> None:
            life.cut_off(talk, reason)
            stopped.abort("the session ended")

        self.actor_ref.add_exit_callback(ended)
        life.registry.register(life.session_id, self.actor_ref)

    def on_receive(self, message: Any) -> Any:
        """Its ref's requests."""
        return self._life if isinstance(message, GetLife) else super().on_receive(message)

    def _hear(self, event: AgentEvent) -> None:
        # On the run's thread: what is not in the file yet is waited for here, and only here.
        super()._hear(event)
        self._life.flush()

    def _run_ended(self, task: Task[RunOutcome], run_id: str, abort: AbortSignal) -> None:
        super()._run_ended(task, run_id, abort)
        self._life.flush_later()


class Session:
    """A door to the sessions of a core: the given one, or the one that all agents of the process share."""

    @staticmethod
    def start(
        system_prompt: str,
        tools: Sequence[Tool] = (),
        client: LLMClient | None = None,
        limits: Limits | None = None,
        session: str | None = None,
        *,
        core: AgentCore | None = None,
        **options: Any,
    ) -> SessionRef:
        """Start a session; see `SessionSupervisor.start_session`."""
        return _sessions(core).start_session(system_prompt, tools, client, limits, session, **options)

    @staticmethod
    def restore(session_id: str, *, core: AgentCore | None = None, **options: Any) -> SessionRef:
        """Go on with a session of an earlier process; see `SessionSupervisor.restore`."""
        return _sessions(core).restore(session_id, **options)


def _sessions(core: AgentCore | None) -> SessionSupervisor:
    from beamlens.agent.core import default_core

    return (core or default_core()).sessions


def label(session_id: str) -> str:
    """An id for logs and threads: any text is an id."""
    return "".join(char if char.isprintable() else "?" for char in session_id[:60])
