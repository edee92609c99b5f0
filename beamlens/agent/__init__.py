"""The agent loop and its tools, shared by watchers, operators and the coordinator."""

from beamlens.agent.budget import Budget, Ledger
from beamlens.agent.content import render
from beamlens.agent.limits import Limits, RunOutcome
from beamlens.agent.loop import AgentLoop
from beamlens.agent.model import Model
from beamlens.agent.prompts import PromptLog
from beamlens.agent.services import Services
from beamlens.agent.tool import Tool, ToolError, ToolResult, fence

__all__ = [
    "AgentLoop",
    "Budget",
    "Ledger",
    "Limits",
    "Model",
    "PromptLog",
    "RunOutcome",
    "Services",
    "Tool",
    "ToolError",
    "ToolResult",
    "fence",
    "render",
]
