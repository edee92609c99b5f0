"""The default strategy: a model with all the Coordinator's tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beamlens.coordinator.prompt import opening, system_prompt
from beamlens.coordinator.team_tools import team_tools
from beamlens.coordinator.tools import coordinator_tools

if TYPE_CHECKING:
    from beamlens.coordinator.run import CoordinatorRun


class AgentLoopStrategy:
    """The model decides what to look at, whom to ask, and when it is done."""

    name = "agent_loop"

    def run(self, run: CoordinatorRun, /) -> str:
        """See `Strategy.run`."""
        desk = run.desk()
        tools = [*coordinator_tools(desk), *team_tools(desk)]
        return run.ask(system_prompt(run.team.available()), tools, opening(run)).stopped_by
