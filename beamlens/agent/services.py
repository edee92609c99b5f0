"""What every agent of an instance works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from beamlens.agent.compaction import CompactionPolicy

if TYPE_CHECKING:
    from beamlens.agent.budget import Ledger
    from beamlens.agent.investigations import KeepsInvestigations
    from beamlens.agent.prompts import PromptLog
    from beamlens.llm.client import LLMClient
    from beamlens.telemetry import Bus
    from beamlens_supervision import TaskSupervisorRef


class Redacts(Protocol):
    """Takes out what must not leave the process."""

    def text(self, text: str, /) -> str:
        """The text without secrets."""
        ...

    def value(self, value: Any, /) -> Any:
        """JSON without secrets."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """An instance, as its agents see it.

    Attributes:
        instance: Its name.
        node: The host's name.
        bus: Takes its events.
        loop_tasks: The supervisor of loops and model calls, as it is now: it may have been restarted.
        tool_tasks: The supervisor of tool calls, as it is now.
        client: The primary client.
        offline: Answers when the client cannot.
        redactor: Applied to all that is sent to a client other than the offline analyst.
        prompts: What was sent.
        llm_timeout: Seconds for one model call.
        budget: What all its agents may spend together.
        compaction: When a conversation is shortened.
        investigations: Keeps the runs of watchers, operators and the Coordinator, if they are to be kept.
    """

    instance: str
    node: str
    bus: Bus
    loop_tasks: Callable[[], TaskSupervisorRef]
    tool_tasks: Callable[[], TaskSupervisorRef]
    client: LLMClient
    offline: LLMClient
    redactor: Redacts
    prompts: PromptLog
    llm_timeout: float = 60.0
    budget: Ledger | None = None
    compaction: CompactionPolicy = field(default_factory=CompactionPolicy)
    investigations: KeepsInvestigations | None = None
