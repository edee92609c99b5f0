"""The agent loop and its tools, shared by watchers, operators, the coordinator and users' agents."""

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
    "SessionEvent",
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
