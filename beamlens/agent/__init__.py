"""The agent loop and its tools, shared by watchers, operators, the coordinator and users' agents.

A part is imported when it is asked for: an instance without agents of its users' own does without most of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beamlens.agent.actor import Agent
    from beamlens.agent.batch import SubagentResult
    from beamlens.agent.budget import Budget, Ledger
    from beamlens.agent.compaction import CompactionPolicy
    from beamlens.agent.content import render
    from beamlens.agent.conversation import AgentState
    from beamlens.agent.core import AgentCore
    from beamlens.agent.events import (
        AgentCancelled,
        AgentEnd,
        AgentError,
        AgentEvent,
        AgentStart,
        MessageEnd,
        MessageStart,
        MessageUpdate,
        ToolExecutionEnd,
        ToolExecutionStart,
        ToolExecutionUpdate,
        TurnEnd,
        TurnStart,
    )
    from beamlens.agent.gathering import Batch
    from beamlens.agent.limits import Limits, RunOutcome
    from beamlens.agent.loop import AgentLoop
    from beamlens.agent.model import Model
    from beamlens.agent.prompts import PromptLog
    from beamlens.agent.ref import AgentRef, AlreadyRunning, CannotContinue
    from beamlens.agent.registry import AgentKey, AgentRegistry
    from beamlens.agent.services import Services
    from beamlens.agent.session import Session, SessionRef
    from beamlens.agent.session_lives import SessionRunning
    from beamlens.agent.session_registry import SessionRegistry
    from beamlens.agent.session_state import HealthSummary, SessionHealth, SessionState, SessionStats
    from beamlens.agent.session_supervisor import SessionSupervisor
    from beamlens.agent.stateless import run_agent
    from beamlens.agent.subagent_coordinator import SubagentCoordinator
    from beamlens.agent.subagents import SubagentSpec, SubagentSupervisor
    from beamlens.agent.subscribers import SessionEvent, Subscription
    from beamlens.agent.tool import Tool, ToolError, ToolResult
    from beamlens.agent.transcript import InvalidTranscript
    from beamlens.agent.trust import TrustMetadata
    from beamlens.llm.deltas import Delta
    from beamlens.llm.dispatcher import Dispatcher
    from beamlens.llm.fence import fence
    from beamlens.llm.turns import DispatchLimits

# Module to what it gives.
_HOMES = {
    "beamlens.agent.actor": "Agent",
    "beamlens.agent.batch": "SubagentResult",
    "beamlens.agent.budget": "Budget Ledger",
    "beamlens.agent.compaction": "CompactionPolicy",
    "beamlens.agent.content": "render",
    "beamlens.agent.conversation": "AgentState",
    "beamlens.agent.core": "AgentCore",
    "beamlens.agent.events": (
        "AgentCancelled AgentEnd AgentError AgentEvent AgentStart MessageEnd MessageStart MessageUpdate "
        "ToolExecutionEnd ToolExecutionStart ToolExecutionUpdate TurnEnd TurnStart"
    ),
    "beamlens.agent.gathering": "Batch",
    "beamlens.agent.limits": "Limits RunOutcome",
    "beamlens.agent.loop": "AgentLoop",
    "beamlens.agent.model": "Model",
    "beamlens.agent.prompts": "PromptLog",
    "beamlens.agent.ref": "AgentRef AlreadyRunning CannotContinue",
    "beamlens.agent.registry": "AgentKey AgentRegistry",
    "beamlens.agent.services": "Services",
    "beamlens.agent.session": "Session SessionRef",
    "beamlens.agent.session_registry": "SessionRegistry",
    "beamlens.agent.session_state": "HealthSummary SessionHealth SessionState SessionStats",
    "beamlens.agent.session_lives": "SessionRunning",
    "beamlens.agent.session_supervisor": "SessionSupervisor",
    "beamlens.agent.stateless": "run_agent",
    "beamlens.agent.subagent_coordinator": "SubagentCoordinator",
    "beamlens.agent.subagents": "SubagentSpec SubagentSupervisor",
    "beamlens.agent.subscribers": "SessionEvent Subscription",
    "beamlens.agent.tool": "Tool ToolError ToolResult",
    "beamlens.agent.transcript": "InvalidTranscript",
    "beamlens.agent.trust": "TrustMetadata",
    "beamlens.llm.deltas": "Delta",
    "beamlens.llm.dispatcher": "Dispatcher",
    "beamlens.llm.fence": "fence",
    "beamlens.llm.turns": "DispatchLimits",
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


__all__ = [
    "Agent",
    "AgentCancelled",
    "AgentCore",
    "AgentEnd",
    "AgentError",
    "AgentEvent",
    "AgentKey",
    "AgentLoop",
    "AgentRef",
    "AgentRegistry",
    "AgentStart",
    "AgentState",
    "AlreadyRunning",
    "Batch",
    "Budget",
    "CannotContinue",
    "CompactionPolicy",
    "Delta",
    "DispatchLimits",
    "Dispatcher",
    "HealthSummary",
    "InvalidTranscript",
    "Ledger",
    "Limits",
    "MessageEnd",
    "MessageStart",
    "MessageUpdate",
    "Model",
    "PromptLog",
    "RunOutcome",
    "Services",
    "Session",
    "SessionEvent",
    "SessionHealth",
    "SessionRef",
    "SessionRegistry",
    "SessionRunning",
    "SessionState",
    "SessionStats",
    "SessionSupervisor",
    "SubagentCoordinator",
    "SubagentResult",
    "SubagentSpec",
    "SubagentSupervisor",
    "Subscription",
    "Tool",
    "ToolError",
    "ToolExecutionEnd",
    "ToolExecutionStart",
    "ToolExecutionUpdate",
    "ToolResult",
    "TrustMetadata",
    "TurnEnd",
    "TurnStart",
    "fence",
    "render",
    "run_agent",
]
