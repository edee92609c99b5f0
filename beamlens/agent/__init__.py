"""The agent loop and its tools, shared by watchers, operators, the coordinator and users' agents."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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
from beamlens.agent.limits import Limits, RunOutcome
from beamlens.agent.loop import AgentLoop
from beamlens.agent.model import Model
from beamlens.agent.prompts import PromptLog
from beamlens.agent.ref import AgentRef, AlreadyRunning, CannotContinue
from beamlens.agent.registry import AgentKey, AgentRegistry
from beamlens.agent.services import Services
from beamlens.agent.stateless import run_agent
from beamlens.agent.subagent_coordinator import SubagentCoordinator
from beamlens.agent.subagents import SubagentSpec, SubagentSupervisor
from beamlens.agent.subscribers import SessionEvent, Subscription
from beamlens.agent.tool import Tool, ToolError, ToolResult
from beamlens.agent.transcript import InvalidTranscript
from beamlens.agent.trust import TrustMetadata
from beamlens.llm.dispatcher import Dispatcher
from beamlens.llm.fence import fence
from beamlens.llm.turns import DispatchLimits

if TYPE_CHECKING:
    from beamlens.agent.session import Session, SessionRef
    from beamlens.agent.session_registry import SessionRegistry
    from beamlens.agent.session_state import HealthSummary, SessionHealth, SessionState, SessionStats
    from beamlens.agent.session_supervisor import SessionRunning, SessionSupervisor

_LATER = {
    "HealthSummary": "session_state",
    "Session": "session",
    "SessionHealth": "session_state",
    "SessionRef": "session",
    "SessionRegistry": "session_registry",
    "SessionRunning": "session_supervisor",
    "SessionState": "session_state",
    "SessionStats": "session_state",
    "SessionSupervisor": "session_supervisor",
}
"""Imported when they are first asked for: an instance without sessions needs none of it."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"beamlens.agent.{_LATER[name]}"), name)


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
    "Budget",
    "CannotContinue",
    "CompactionPolicy",
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
