"""The agent loop and its tools, shared by watchers, operators and the coordinator."""

from beamlens.agent.loop import AgentLoop, Limits, RunOutcome
from beamlens.agent.model import Model
from beamlens.agent.prompts import PromptLog
from beamlens.agent.services import Services
from beamlens.agent.tool import Tool, ToolError, ToolResult, render
from beamlens.agent.trust import TrustMetadata
from beamlens.llm.dispatcher import Dispatcher
from beamlens.llm.fence import fence
from beamlens.llm.turns import DispatchLimits

__all__ = [
    "AgentLoop",
    "DispatchLimits",
    "Dispatcher",
    "Limits",
    "Model",
    "PromptLog",
    "RunOutcome",
    "Services",
    "Tool",
    "ToolError",
    "ToolResult",
    "TrustMetadata",
    "fence",
    "render",
]
