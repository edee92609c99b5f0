"""`SessionSupervisor`: starts, restores and stops sessions, and says how they are."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamlens.agent.actor import AgentSetup, OnRunEnd, check_setup
from beamlens.agent.conversation import QueueMode
from beamlens.agent.journal.errors import JournalLocked
from beamlens.agent.journal.policy import DEFAULT_FSYNC, Fsync, check_fsync
from beamlens.agent.journal.reader import Stored, list_journals
from beamlens.agent.journal.writer import CLOSE, JournalWriter
from beamlens.agent.limits import Limits
from beamlens.agent.session import SessionRef, label
from beamlens.agent.session_life import SessionLife, setup_of
from beamlens.agent.session_lives import RESTART, Lives
from beamlens.agent.session_registry import SessionRegistry, check_id
from beamlens.agent.session_restore import check_queue_mode, check_restart, repair, restored
from beamlens.agent.session_state import HealthSummary, SessionHealth, worst_first
from beamlens.errors import BeamlensError
from beamlens_actors import ActorError, AlreadyRegistered, clock, offload
from beamlens_actors.backends.threads import spawn
from beamlens_supervision import ChildNotFound, ChildSpec, ChildStartError
from beamlens_supervision.child_spec import Restart

if TYPE_CHECKING:
    from beamlens.agent.core import AgentCore
    from beamlens.agent.limits import RunOutcome
    from beamlens.agent.tool import Tool
    from beamlens.llm.client import LLMClient

logger = logging.getLogger("beamlens.agent")

SHUTDOWN = 1.0
"""Seconds that a session's actor gets to end before it is killed."""

RUN_END = 2.0
"""Seconds that the run of a session that is stopped gets to end by itself; its tools' own grace is part of it."""

NO_STATE_DIR = "there is no state directory: Beamlens.start(state_dir=...), or AgentCore.start(state_dir=...)"


class SessionSupervisor:
    """The sessions of a core. Each is restarted alone, from its journal, and never takes another one along.

    Attributes:
        registry: Finds them by id.
    """

    def __init__(self, core: AgentCore, state_dir: str | Path | None = None, fsync: Fsync = DEFAULT_FSYNC) -> None:
        """Not for users: it is `AgentCore.sessions`."""
        self._core = core
        self._state_dir = None if state_dir is None else Path(state_dir)
        self._fsync = check_fsync(fsync)
        self.registry = SessionRegistry()
        self._lives = Lives()
        self._said = False

    # -- start ----------------------------------------------------------------------------------------------------

    def start_session(
        self,
        system_prompt: str,
        tools: Sequence[Tool] = (),
        client: LLMClient | None = None,
        limits: Limits | None = None,
        session_id: str | None = None,
        *,
        restart: Restart = "transient",
        queue_mode: QueueMode = "one_at_a_time",
        fsync: Fsync | None = None,
        on_run_end: OnRunEnd | None = None,
    ) -> SessionRef:
        """Start a session; it is idle until it is prompted.

        Args:
            system_prompt: What the model is told first.
            tools: What it may call.
            client: Who answers; by default the core's.
            limits: What ends a run that does not end by itself.
            session_id: Its id, any text; by default a new one.
            restart: What happens when its actor ends: ``transient``, the default, starts another after a crash;
                ``permanent`` after any end; ``temporary`` never. The new one has the conversation and is idle: no
                model is asked and no tool is run again by itself, which is why a restart can be the default.
            queue_mode: Whether queued messages are taken one or all at a time.
            fsync: When the disk is made to keep its journal; by default as the core says.
            on_run_end: Is called with the outcome of each run, on another thread; must be quick.

        Raises:
            ConfigError: A value that cannot be.
            SessionRunning: A session of that id runs; carries it.
            JournalExists: It has a journal: it can be restored.
            BeamlensError: It could not be started.
        """
        agent = AgentSetup(system_prompt, tuple(tools), client, limits or Limits(), (), queue_mode, on_run_end)
        check_setup(agent)
        check_queue_mode(queue_mode)
        check_restart(restart)
        chosen = check_id(secrets.token_hex(8) if session_id is None else session_id)
        with self._lives.reserved(chosen):
            journal = self._new_journal(chosen, agent, check_fsync(self._fsync if fsync is None else fsync))
            return self._start(chosen, agent, journal, restart, None, fresh=True)

    def _new_journal(self, session_id: str, agent: AgentSetup, fsync: Fsync) -> JournalWriter | None:
        if self._state_dir is None:
            if not self._said:
                self._said = True
                logger.warning("sessions are kept in memory only: %s", NO_STATE_DIR)
            return None
        return offload(  # the disk, which a hub does not wait for
            JournalWriter.create,
            self._state_dir,
            session_id,
            setup_of(agent, self._core),
            redactor=self._core.services.redactor,
            fsync=fsync,
            tell=self._telling(session_id),
        )

    def restore(
        self,
        session_id: str,
        tools: Sequence[Tool] | None = None,
        client: LLMClient | None = None,
        *,
        system_prompt: str | None = None,
        limits: Limits | None = None,
        restart: Restart = "transient",
        queue_mode: QueueMode | None = None,
        fsync: Fsync | None = None,
        on_run_end: OnRunEnd | None = None,
    ) -> SessionRef:
        """Go on with a session whose process has ended, or that was stopped. It is idle until it is prompted.

        Tool calls that the process left without a result get one that says so. No tool is run again: whether a call
        had its effect is not known, and the model is told that. To have the model go on by itself: ``continue_()``.

        Args:
            session_id: Its id.
            tools: What it may call; functions are in no journal, so they have to be given if it had any.
            client: Who answers; by default the core's.
            system_prompt: What the model is told first; by default as before.
            limits: By default as before.
            restart: See `start_session`, as for all that follow.
            queue_mode: By default as before.
            fsync: By default as the core says.
            on_run_end: Is called with the outcome of each run.

        Raises:
            ConfigError: A value that cannot be, or tools that it had are not given; names them.
            SessionRunning: It runs; carries it.
            JournalNotFound: There is no such session; lists those that there are.
            JournalLocked: Another process runs it; names that.
            JournalCorrupt: A line of its journal cannot be read; names file and line.
            JournalTooNew: It was written by a later version.
            OSError: Its journal may not be read.
            BeamlensError: There is no state directory, or it could not be started.
        """
        check_id(session_id)
        check_restart(restart)
        checked = check_fsync(self._fsync if fsync is None else fsync)
        with self._lives.reserved(session_id):
            if self._state_dir is None:
                raise BeamlensError(f"no session can be restored: {NO_STATE_DIR}")
            try:
                writer, journal = offload(
                    JournalWriter.resume,
                    self._state_dir,
                    session_id,
                    redactor=self._core.services.redactor,
                    fsync=checked,
                    tell=self._telling(session_id),
                )
            except JournalLocked as error:
                if error.pid == os.getpid():
                    raise BeamlensError(f"another core of this process runs the session {session_id!r}") from error
                raise
            try:
                agent = restored(
                    journal,
                    tools=tools,
                    client=client,
                    system_prompt=system_prompt,
                    limits=limits,
                    queue_mode=queue_mode,
                    on_run_end=on_run_end,
                )
                agent, outcome, repaired = repair(journal, writer, agent, setup_of(agent, self._core))
            except BaseException:
                writer.close()
                raise
            ref = self._start(session_id, agent, writer, restart, outcome, fresh=False)
        if journal.note:
            logger.warning("%s", journal.note)
        numbers = {"messages": len(agent.messages), "repaired_calls": repaired, "torn_bytes": journal.torn}
        self._emit("session.restored", session_id, numbers, note=journal.note)
        return ref

    def _start(
        self,
        session_id: str,
        agent: AgentSetup,
        journal: JournalWriter | None,
        restart: Restart,
        outcome: RunOutcome | None,
        *,
        fresh: bool,
    ) -> SessionRef:
        life = SessionLife(
            self._core,
            self.registry,
            session_id,
            agent,
            journal,
            restart=restart,
            outcome=outcome,
            forget=self._lives.remove,
            no_journal="" if self._state_dir else NO_STATE_DIR,
        )
        try:
            supervisor = self._core.session_supervisor()
            spec = ChildSpec(label(session_id), life.start, restart=restart, shutdown=SHUTDOWN)
            self._lives.add(life)
            supervisor.start_child(spec)
        except BaseException as error:
            life.close("could not be started", discard=fresh)
            if isinstance(error, ChildStartError) and isinstance(error.__cause__, AlreadyRegistered):
                text = f"an agent runs under the key of the session {session_id!r}: {error.__cause__}"
                raise BeamlensError(text) from error
            if isinstance(error, ChildStartError | ActorError):
                raise BeamlensError(f"the session {session_id!r} could not be started: {error}") from error
            raise
        life.watch(supervisor)
        ref = life.ref
        assert ref is not None  # noqa: S101 - it was started
        self._emit("session.start", session_id, {}, model=life.model, journal=life.journal_state().path)
        return ref

    # -- stop -----------------------------------------------------------------------------------------------------

    def stop_session(self, session: str | SessionRef, timeout: float = RUN_END) -> bool:
        """Stop a session: its run, which gets `timeout` seconds to end by itself, then its actor. Its journal stays.

        Args:
            session: Its id or ref.
            timeout: Seconds.

        Returns:
            False when no such session runs.
        """
        life = self._lives.find(session)
        if life is None:
            return False
        while life.settled(RESTART) and (ref := life.ref) is not None:
            try:
                ref.abort("the session is stopped")
                ref.wait_for_idle(timeout)
            except (ActorError, TimeoutError):
                pass  # its run ends with it
            try:
                self._core.session_supervisor().terminate_child(ref)
                break
            except ChildNotFound:  # it crashed meanwhile, and another took its place, or none
                continue
            except ActorError:
                break
        offload(life.close, "stopped")
        return True

    def close(self) -> None:
        """End all of them at once, as the core ends. A disk that hangs is waited for `CLOSE` seconds in all."""
        lives = self._lives.all()
        ended = [threading.Event() for _ in lives]

        def end(life: SessionLife, event: threading.Event) -> None:
            try:
                life.close("stopped")
            finally:
                event.set()

        for life, event in zip(lives, ended, strict=True):
            spawn(partial(end, life, event), "beamlens-journal")
        deadline = clock.monotonic() + CLOSE
        for event in ended:
            clock.wait(event, max(0.0, deadline - clock.monotonic()))

    # -- questions ------------------------------------------------------------------------------------------------

    def lookup(self, session_id: str) -> SessionRef | None:
        """The session of an id, if it runs."""
        return self.registry.sessions().get(session_id)

    def list_sessions(self) -> dict[str, SessionRef]:
        """The sessions that run, by id, sorted."""
        return dict(sorted(self.registry.sessions().items()))

    def stored(self) -> list[Stored]:
        """The sessions that have a journal, running or not, newest first; none without a state directory."""
        return [] if self._state_dir is None else list_journals(self._state_dir)

    def health_all(self) -> list[SessionHealth]:
        """How each session is, unhealthy ones first; at once."""
        return worst_first(life.health() for life in self._lives.all())

    def health_summary(self) -> HealthSummary:
        """How they are together; at once."""
        return HealthSummary.of(self.health_all())

    # -- telling --------------------------------------------------------------------------------------------------

    def _emit(self, name: str, session_id: str, numbers: dict[str, Any], **about: Any) -> None:
        self._core.services.bus.emit(
            f"agent_core.{name}", f"{session_id}/main/0", numbers, session_id=session_id, **about
        )

    def _telling(self, session_id: str) -> Callable[[str, str, int], None]:
        def tell(what: str, reason: str, unwritten: int) -> None:
            if what == "failed":
                text = "the journal of the session %r cannot be written, it goes on in memory: %s"
                logger.warning(text, session_id, reason)
            self._emit(f"journal.{what}", session_id, {"unwritten": unwritten}, reason=reason)

        return tell
