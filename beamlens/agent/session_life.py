"""`SessionLife`: what of a session outlives the crash of its actor, and the rules of its restart."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from beamlens.agent.actor import hourly
from beamlens.agent.conversation import Conversation
from beamlens.agent.journal.records import OpenedRecord, Setup
from beamlens.agent.journal.writer import JournalState, JournalWriter
from beamlens.agent.registry import AgentKey
from beamlens.agent.session import SessionActor
from beamlens.agent.session_state import SessionHealth, SessionState, SessionStats, count, judge
from beamlens.agent.subagents import ending
from beamlens_actors import Shutdown, clock
from beamlens_actors.backends.threads import spawn
from beamlens_actors.waiting import Condition
from beamlens_actors.words import in_words
from beamlens_supervision import Ignore
from beamlens_supervision.child_spec import is_abnormal
from beamlens_supervision.intensity import RestartWindow

if TYPE_CHECKING:
    from beamlens.agent.actor import AgentSetup
    from beamlens.agent.core import AgentCore
    from beamlens.agent.events import AgentEvent
    from beamlens.agent.limits import RunOutcome
    from beamlens.agent.session import SessionRef
    from beamlens.agent.session_registry import SessionRegistry
    from beamlens.llm.client import Message
    from beamlens_actors import ActorRef, ExitReason
    from beamlens_supervision.child_spec import Restart

logger = logging.getLogger("beamlens.agent")

MAX_RESTARTS = 3
MAX_SECONDS = 5.0
"""A session of its own that crashes more often than this is given up, and no other with it."""

DISK = 2.0
"""Seconds that a restart waits for a disk that hangs; then it goes on from what is in memory."""


class SessionLife:
    """One session, from its start until it has ended for good. Its actors come and go."""

    def __init__(
        self,
        core: AgentCore,
        registry: SessionRegistry,
        session_id: str,
        agent: AgentSetup,
        journal: JournalWriter | None,
        *,
        restart: Restart,
        outcome: RunOutcome | None,
        forget: Callable[[SessionLife], object],
        no_journal: str = "",
    ) -> None:
        """Prepare one; nothing runs yet.

        Args:
            core: What it runs on.
            registry: Where its actor is found.
            session_id: The session.
            agent: What its actor is; the messages are those that it begins with.
            journal: Keeps what is said; ``None``: memory does.
            restart: Whether an actor that has ended is replaced.
            outcome: How its last run ended, if it had one.
            forget: Is called once it has ended for good.
            no_journal: Why there is none.
        """
        self.core = core
        self.registry = registry
        self.session_id = session_id
        self.key = AgentKey(session_id)
        self.agent = agent
        self.ref: SessionRef | None = None
        self.ledger = hourly(agent.limits)
        self._journal = journal
        self._no_journal = no_journal
        self._restart = restart
        self._forget = forget
        self._window = RestartWindow(MAX_RESTARTS, MAX_SECONDS)
        self._launched = False
        self._closed = False
        # Re-entrant: the end of its actor may come on the thread that ends it.
        self._closing = threading.RLock()
        self._changed = Condition()
        self._unwatch: Callable[[], object] = lambda: None
        self._restarts = 0
        self._began = self._active = clock.monotonic()
        self._talk = self._conversation(agent.messages, outcome, None)

    def _conversation(
        self, messages: Sequence[Message], outcome: RunOutcome | None, before: Conversation | None
    ) -> Conversation:
        return Conversation(
            self.session_id, messages, self.agent.queue_mode, before=before, keep=self._keep, outcome=outcome
        )

    # -- its actors, on the supervisor's thread -------------------------------------------------------------------

    def start(self) -> SessionRef | Ignore:
        """Start its actor: the first, or one in the place of one that crashed. The latter never raises.

        Returns:
            `Ignore` when it crashed too often, or cannot be started again: then it has ended for good.
        """
        if not self._launched:
            ref = SessionActor.launch(self, self._talk)
            self._launched = True
            self._took_place(ref)
            return ref
        if self._closed:
            return Ignore()
        if not self._window.record():
            return self._give_up(f"it crashed more than {MAX_RESTARTS} times within {MAX_SECONDS:g} s")
        try:
            self._talk.close(let_go=False)
            self._talk.cut_off("the session crashed", "crashed")
            before, state = self._talk, self._talk.state()
            messages = self._messages_again()
            self._talk = self._conversation(messages, state.outcome, before)
            self._restarts += 1
            ref = SessionActor.launch(self, self._talk)
        except Exception as error:  # noqa: BLE001 - the supervisor would try for ever, and end others
            return self._give_up(in_words(error))
        if not self._took_place(ref):
            ref.stop(Shutdown())
            return Ignore()
        self._emit("session.restart", {"restarts": self._restarts, "messages": len(messages)})
        return ref

    def _took_place(self, ref: SessionRef) -> bool:
        with self._closing:
            if self._closed:  # it was stopped meanwhile
                return False
            self.ref = ref
        self._notify()
        ref.add_exit_callback(lambda _ref, reason: self._ended(reason))
        return True

    def _ended(self, reason: ExitReason) -> None:
        if self._closed:  # somebody ends it already, and may wait for the disk
            return
        if self._restart == "temporary" or (self._restart == "transient" and not is_abnormal(reason)):
            self.close(ending(reason))

    def _messages_again(self) -> Sequence[Message]:
        """What was said, from the journal; from memory where that is not whole."""
        journal = self._journal
        if journal is None or not journal.flush(DISK) or journal.state().status != "kept":
            return self._talk.state().messages
        messages = journal.read().messages
        journal.add(OpenedRecord(clock.time(), os.getpid(), self.setup()))
        journal.flush(DISK)
        return messages

    def _give_up(self, reason: str) -> Ignore:
        logger.error("the session %r is not started again: %s", self.session_id, reason)
        self._emit("session.gave_up", {"restarts": self._restarts}, reason=reason)
        self.close("given up")
        return Ignore()

    @staticmethod
    def cut_off(talk: Conversation, reason: ExitReason) -> None:
        """The actor of a conversation has ended: the run under way gets its one end here and now."""
        talk.close(let_go=False)  # first: one that was killed may be about to begin a run
        talk.cut_off(f"the session {ending(reason)}", "crashed" if is_abnormal(reason) else "aborted")

    def watch(self, supervisor: ActorRef[Any]) -> None:
        """End with the supervisor: nobody else would start its actor again."""

        def ended(_ref: ActorRef[Any], _reason: ExitReason) -> None:
            if not self._closed:
                self.close("its supervisor has ended")

        with self._closing:
            self._unwatch = supervisor.add_exit_callback(ended)
            if self._closed:
                self._unwatch()

    def close(self, reason: str, *, discard: bool = False) -> None:
        """It has ended for good: let go of subscribers and journal. Again: waits until that is done.

        Args:
            reason: Why.
            discard: Whether to remove the journal too: nothing was said.
        """
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._talk.close(let_go=False)
            self._talk.cut_off(f"the session {reason}", "aborted")
            self._talk.close()
            if self._journal is not None:
                self._journal.close(discard=discard)
            self._unwatch()
            self._forget(self)
        self._notify()
        self._emit("session.end", {"duration": clock.monotonic() - self._began}, reason=reason)

    def settled(self, timeout: float) -> bool:
        """Wait until it is known whether it goes on, if its actor has just ended; whether it does."""

        def known() -> bool:
            return self._closed or (self.ref is not None and self.ref.is_alive())

        with self._changed:
            self._changed.wait_until(known, timeout)
        with self._closing:
            return not self._closed

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # -- what is said ---------------------------------------------------------------------------------------------

    def _keep(self, event: AgentEvent) -> None:
        self._active = clock.monotonic()
        if self._journal is not None:
            self._journal.offer(event)

    def flush(self) -> None:
        """Have the journal written; blocks as long as the disk does."""
        if self._journal is not None:
            self._journal.flush()

    def flush_later(self) -> None:
        """Have what a run that was lost left behind written, on a thread that may block."""
        journal = self._journal
        if journal is not None and journal.state().unwritten:
            # Rare, and on a thread of nobody knows whom: neither it nor a supervisor may wait for the disk.
            spawn(journal.flush, "beamlens-journal")

    # -- what is asked --------------------------------------------------------------------------------------------

    def state(self) -> SessionState:
        """How it is now."""
        now = self._talk.state()
        known = {each.name: getattr(now, each.name) for each in dataclasses.fields(now)}
        return SessionState(**known, journal=self.journal_state(), restarts=self._restarts)

    def journal_state(self) -> JournalState:
        """How its journal is now."""
        return JournalState("memory", reason=self._no_journal) if self._journal is None else self._journal.state()

    def stats(self) -> SessionStats:
        """Its counts."""
        now = clock.monotonic()
        return count(self.state(), self.model, now - self._began, now - self._active)

    def health(self) -> SessionHealth:
        """Whether it is well."""
        ref = self.ref
        return judge(self.stats(), self.journal_state(), alive=ref is not None and ref.is_alive())

    @property
    def model(self) -> str:
        """Who answers."""
        return (self.agent.client or self.core.services.client).model

    def setup(self) -> Setup:
        """What the journal says of it."""
        return setup_of(self.agent, self.core)

    def _emit(self, name: str, numbers: dict[str, Any], **about: Any) -> None:
        self.core.services.bus.emit(
            f"agent_core.{name}", f"{self.session_id}/main/0", numbers, session_id=self.session_id, **about
        )


def setup_of(agent: AgentSetup, core: AgentCore) -> Setup:
    """What a journal says of an agent."""
    return Setup(
        system_prompt=agent.system_prompt,
        tools=tuple(tool.spec() for tool in agent.tools),
        client="" if agent.client is None else type(agent.client).__name__,
        model=(agent.client or core.services.client).model,
        limits=dataclasses.asdict(agent.limits),
        queue_mode=agent.queue_mode,
    )
