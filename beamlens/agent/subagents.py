"""Subagents: agents that work for a session's main agent, registered, supervised and told."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from beamlens.agent.actor import Agent, OnRunEnd
from beamlens.agent.limits import Limits
from beamlens.agent.registry import AgentKey, check_key
from beamlens_actors import ActorError, ActorRef, Crash, ExitReason, Killed, Normal, Shutdown, clock
from beamlens_actors.words import in_words
from beamlens_supervision import ChildNotFound, ChildSpec

if TYPE_CHECKING:
    from beamlens.agent.core import AgentCore
    from beamlens.agent.ref import AgentRef
    from beamlens.agent.tool import Tool
    from beamlens.llm.client import LLMClient

SHUTDOWN = 1.0
"""Seconds that a subagent gets to end before it is killed."""


@dataclass(frozen=True, slots=True)
class SubagentSpec:
    """What a subagent is to do.

    Attributes:
        prompt: What it is told.
        role: Its role, part of its key.
        system_prompt: What its model is told first.
        tools: What it may call.
        client: Who answers; by default the coordinator's.
        limits: What ends it, if it does not end by itself.
    """

    prompt: str
    role: str = "subagent"
    system_prompt: str = ""
    tools: Sequence[Tool] = ()
    client: LLMClient | None = None
    limits: Limits | None = None


class SubagentSupervisor:
    """Starts and stops subagents, each under its key in the `AgentRegistry`."""

    def __init__(self, core: AgentCore) -> None:
        self._core = core

    def start(
        self, key: AgentKey, spec: SubagentSpec, *, client: LLMClient | None = None, on_run_end: OnRunEnd | None = None
    ) -> AgentRef:
        """Start one; it is idle until it is prompted. It is never restarted.

        Raises:
            AlreadyRegistered: The key is taken.
            ChildStartError: It could not be started.
            ActorDead: The supervisor is being restarted.
        """
        session, role, number = check_key(key)
        start = functools.partial(
            Agent.start, spec.system_prompt, spec.tools, spec.client or client, spec.limits, session,
            role=role, index=number, core=self._core, on_run_end=on_run_end,
        )  # fmt: skip
        name = f"{session}/{role}/{number}"
        child = ChildSpec(name, start, restart="temporary", shutdown=SHUTDOWN)
        ref = cast("AgentRef", self._core.subagents().start_child(child))
        began = clock.monotonic()
        about = {"session_id": session, "role": role, "index": number}
        bus = self._core.services.bus
        bus.emit("agent_core.subagent.spawn", name, **about)

        def ended(_ref: ActorRef[Any], reason: ExitReason) -> None:
            took = {"duration": clock.monotonic() - began}
            bus.emit("agent_core.subagent.end", name, took, **about, reason=ending(reason))

        ref.add_exit_callback(ended)
        return ref

    def stop(self, key: AgentKey) -> bool:
        """Stop one and wait for its end; False when there is none under `key`."""
        ref = self._core.registry.lookup(check_key(key))
        if ref is None:
            return False
        try:
            self._core.subagents().terminate_child(ref)
        except (ChildNotFound, ActorError):
            return False
        return True

    def agents(self) -> list[ActorRef[Any]]:
        """The subagents that run."""
        return [child.ref for child in self._core.subagents().which_children() if child.ref is not None]


def ending(reason: ExitReason) -> str:
    """An exit reason as metadata."""
    match reason:
        case Normal():
            return "normal"
        case Shutdown(detail=detail):
            return "stopped" if detail is None else f"stopped: {detail}"
        case Killed():
            return "killed"
        case Crash(exception=error):
            return f"crashed: {in_words(error)}"
    return repr(reason)
