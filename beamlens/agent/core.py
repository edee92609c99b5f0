"""What agents run on: task supervisors, their registry, the supervisor of subagents (seed 003)."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from beamlens.agent.prompts import PromptLog
from beamlens.agent.registry import AgentRegistry, AgentRegistryActor
from beamlens.agent.services import Services
from beamlens.config import state_folder
from beamlens.errors import LLMError
from beamlens.llm.client import Completion, Request
from beamlens.redact import Redactor
from beamlens.telemetry import Bus
from beamlens_actors import AbortSignal, ActorDead, Registry
from beamlens_supervision import (
    ChildSpec,
    DynamicSupervisor,
    DynamicSupervisorRef,
    Supervisor,
    SupervisorRef,
    TaskSupervisor,
    TaskSupervisorRef,
)

if TYPE_CHECKING:
    from beamlens.agent.budget import Ledger
    from beamlens.agent.journal.policy import Fsync
    from beamlens.agent.session_supervisor import SessionSupervisor

_MAX_RESTARTS = 10
_SUBAGENTS = ("supervisor", "subagents")
_SESSIONS = ("supervisor", "sessions")


class NoClient:
    """For agents without a client: says so when it is asked."""

    model = "none"

    def complete(self, request: Request, *, abort: AbortSignal) -> Completion:  # noqa: ARG002 - the protocol's
        """Refuse."""
        raise LLMError(f"agent {request.agent!r} has no client", kind="invalid_request", retryable=False)


class AgentCore:
    """The ground that agents stand on: an instance's, or one of its own made by `start`.

    Attributes:
        services: Task supervisors, telemetry, budget.
        registry: Finds agents by ``(session_id, role, index)``.
    """

    def __init__(
        self,
        services: Services,
        registry: AgentRegistry,
        names: Registry,
        state_dir: Path | None = None,
        fsync: Fsync = "run",
    ) -> None:
        """Not for users: `start`, or an instance, makes one.

        Args:
            services: The instance.
            registry: Of agents.
            names: Where the supervisors of subagents and sessions are found, as they may be restarted.
            state_dir: Where sessions are kept.
            fsync: When the disk is made to keep them.
        """
        self.services = services
        self.registry = registry
        self._names = names
        self._state_dir = state_dir
        self._fsync: Fsync = fsync
        self._sessions: SessionSupervisor | None = None
        self._lock = threading.Lock()
        self._root: SupervisorRef | None = None

    @classmethod
    def start(
        cls,
        name: str = "agents",
        *,
        budget: Ledger | None = None,
        llm_timeout: float = 60.0,
        state_dir: str | Path | None = None,
        fsync: Fsync = "run",
    ) -> Self:
        """Start a core without an instance: a supervisor over registry, subagents, sessions, loop and tool tasks.

        Args:
            name: What its events call the instance.
            budget: What all its agents may spend.
            llm_timeout: Seconds for one model call, unless an agent's limits say otherwise.
            state_dir: Where sessions are kept, in a folder ``sessions``; by default in memory only.
            fsync: When the disk is made to keep them, if a session does not say: ``always``, at each message;
                ``run``, at the end of each run; ``never``.

        Raises:
            ConfigError: `state_dir` cannot be a directory, or `fsync` is none of the choices.
        """
        directory = state_folder(state_dir)
        if state_dir is not None or fsync != "run":  # what needs no journal imports none
            from beamlens.agent.journal.policy import check_fsync

            check_fsync(fsync)
        names = Registry()
        bus = Bus(name)
        nobody = NoClient()
        services = Services(
            instance=name,
            node=socket.gethostname(),
            bus=bus,
            loop_tasks=lambda: tasks(names, "loop"),
            tool_tasks=lambda: tasks(names, "tool"),
            client=nobody,
            offline=nobody,
            redactor=Redactor(),
            prompts=PromptLog(),
            llm_timeout=llm_timeout,
            budget=budget,
        )
        core = cls(services, AgentRegistry(), names, directory, fsync)
        children = [subagents_child(names), sessions_child(names)]
        specs = [registry_child(core.registry), *children, *task_children(names)]
        core._root = Supervisor.start(specs, max_restarts=_MAX_RESTARTS, name="AgentCore.Supervisor")
        bus.start()
        return core

    @property
    def supervisor(self) -> SupervisorRef | None:
        """Its supervisor; ``None`` for an instance's, which has its own."""
        return self._root

    def subagents(self) -> DynamicSupervisorRef:
        """The supervisor of subagents, as it is now.

        Raises:
            ActorDead: It is being restarted.
        """
        ref = self._names.lookup(_SUBAGENTS)
        if not isinstance(ref, DynamicSupervisorRef):
            raise ActorDead("the supervisor of subagents is being restarted")
        return ref

    def session_supervisor(self) -> DynamicSupervisorRef:
        """The supervisor of sessions' actors, as it is now. Sessions are started with `sessions`.

        Raises:
            ActorDead: It has ended with the core, or is being restarted.
        """
        ref = self._names.lookup(_SESSIONS)
        if not isinstance(ref, DynamicSupervisorRef):
            raise ActorDead("the supervisor of sessions has ended, or is being restarted")
        return ref

    @property
    def sessions(self) -> SessionSupervisor:
        """Starts, restores and stops sessions: agents that are kept in a journal."""
        from beamlens.agent.session_supervisor import SessionSupervisor

        with self._lock:
            if self._sessions is None:
                self._sessions = SessionSupervisor(self, self._state_dir, self._fsync)
            return self._sessions

    def stop(self) -> None:
        """End the agents that run on it, and it. The supervisors of an instance's core end with the instance."""
        if self._sessions is not None:
            self._sessions.close()  # first: a run whose task is ended with the core has crashed, and this one has not
        for ref in self.registry.agents().values():
            ref.stop(block=False)
        if self._root is None:
            return
        self._root.stop(timeout=5.0)
        self.services.bus.close(0.3)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()


def tasks(names: Registry, kind: str) -> TaskSupervisorRef:
    """The task supervisor of a kind, ``loop`` or ``tool``, as it is now.

    Raises:
        ActorDead: It is being restarted.
    """
    ref = names.lookup(("tasks", kind))
    if not isinstance(ref, TaskSupervisorRef):
        raise ActorDead(f"the task supervisor of the {kind}s is being restarted")
    return ref


def task_children(names: Registry) -> list[ChildSpec]:
    """The two task supervisors, each found through `names`, since each may be restarted."""
    return [
        ChildSpec(
            name,
            # What they run blocks, so it needs threads, whatever the actors run on.
            TaskSupervisor.options(
                name=name, backend="threads", register=(names, ("tasks", kind)), start_timeout=None
            ).start,
            type="supervisor",
            shutdown=1.0,
        )
        for kind, name in (("loop", "LoopTaskSupervisor"), ("tool", "ToolTaskSupervisor"))
    ]


def registry_child(registry: AgentRegistry) -> ChildSpec:
    """The registry's actor."""
    return AgentRegistryActor.child_spec(registry)


def subagents_child(names: Registry, on_event: Callable[[Any], object] | None = None) -> ChildSpec:
    """The supervisor of subagents. They are temporary: a restart would repeat what their tools did."""
    launcher = DynamicSupervisor.options(name="SubagentSupervisor", register=(names, _SUBAGENTS), start_timeout=None)
    options = {} if on_event is None else {"on_event": on_event}
    return ChildSpec("SubagentSupervisor", launcher.start, (), options, type="supervisor", shutdown=1.5)


def sessions_child(names: Registry, on_event: Callable[[Any], object] | None = None) -> ChildSpec:
    """The supervisor of sessions' actors. Each session has a bound of its own for restarts; see `SessionLife`."""
    # So it counts none: one that crashes again and again would end all. Their start reads journals, which blocks.
    launcher = DynamicSupervisor.options(
        name="SessionSupervisor", backend="threads", register=(names, _SESSIONS), start_timeout=None
    )
    options: dict[str, Any] = {"max_restarts": 1_000_000} | ({} if on_event is None else {"on_event": on_event})
    return ChildSpec("SessionSupervisor", launcher.start, (), options, type="supervisor", shutdown=2.5)


_default: AgentCore | None = None
_lock = threading.Lock()


def default_core() -> AgentCore:
    """The core of agents that are given none; started when first needed, for as long as the process lives."""
    global _default
    with _lock:
        root = None if _default is None else _default.supervisor
        if _default is None or root is None or not root.is_alive():
            _default = AgentCore.start()
        return _default


def _after_fork() -> None:
    global _default, _lock
    _default, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
