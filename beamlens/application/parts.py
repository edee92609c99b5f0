"""What an instance is made of: the parts that outlive any crash in its tree."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Self

from beamlens.agent.account import AccountInMemory, KeepsAccount
from beamlens.agent.budget import Budget, Ledger
from beamlens.agent.core import AgentCore
from beamlens.agent.prompts import PromptLog
from beamlens.agent.registry import AgentRegistry
from beamlens.agent.services import Services
from beamlens.application import alert_log, anomalies, tree
from beamlens.application.plan import Plan
from beamlens.application.trouble_log import TroubleLog
from beamlens.application.usage import Usage
from beamlens.coordinator import AlertInbox, Insights, Verdict
from beamlens.findings import Alert
from beamlens.llm.offline import OfflineAnalyst
from beamlens.telemetry import Bus
from beamlens_actors import Registry

if TYPE_CHECKING:
    from beamlens.agent.investigations import Investigations

logger = logging.getLogger("beamlens")


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts, wired to one another; nothing of it runs yet.

    Attributes:
        agents: Finds actors by ``(kind, name)``; its entries survive the restart of the actor around it.
        bus: Delivers events.
        usage: Counts what models cost.
        prompts: What was sent to them.
        insights: What alerts meant.
        inbox: The Coordinator's alerts; outlives it.
        services: All of it, as agents see it.
        core: What users' agents run on.
    """

    agents: Registry
    bus: Bus
    usage: Usage
    prompts: PromptLog
    insights: Insights
    inbox: AlertInbox
    services: Services
    core: AgentCore

    @classmethod
    def make(cls, plan: Plan) -> Self:
        """Make them as planned."""
        agents, bus, usage, prompts = Registry(), Bus(plan.name), Usage(), PromptLog()
        offline = OfflineAnalyst()
        primary = plan.clients.primary
        services = Services(
            instance=plan.name,
            node=socket.gethostname(),
            bus=bus,
            loop_tasks=lambda: tree.tasks(agents, "loop"),
            tool_tasks=lambda: tree.tasks(agents, "tool"),
            client=offline if primary.model == offline.model else primary,
            offline=offline,
            redactor=plan.redactor,
            prompts=prompts,
            llm_timeout=plan.llm_timeout,
            budget=_ledger(plan, bus),
            compaction=plan.compaction,
            investigations=_investigations(plan, agents),
        )
        bus.listen(alert_log.listen)
        bus.listen(TroubleLog().listen)
        bus.listen(usage.listen)
        bus.listen(anomalies.connect(bus, agents))
        plan.clients.report_to(bus)
        inbox = AlertInbox(on_change=_alert_events(bus))
        core = AgentCore(services, AgentRegistry(), agents, plan.state_dir)
        return cls(agents, bus, usage, prompts, Insights(), inbox, services, core)


def _ledger(plan: Plan, bus: Bus) -> Ledger | None:
    if plan.budget is None:
        return None

    def exhausted(limit: str, spent: float, bound: float) -> None:
        text = "the budget is spent: %s is %g, and %g were used; the offline analyst takes over"
        logger.warning(text, limit, bound, spent)
        bus.emit("budget.exhausted", "budget", {"spent": spent, "bound": bound}, limit=limit)

    return Ledger(plan.budget, exhausted, _account(plan, plan.budget, bus))


def _account(plan: Plan, budget: Budget, bus: Bus) -> KeepsAccount:
    if plan.state_dir is None:
        _say_in_memory()
        return AccountInMemory()
    from beamlens.agent.account_file import AccountFile

    def unusable(path: str, reason: str) -> None:
        bus.emit("budget.file_unusable", "budget", path=path, reason=reason)

    return AccountFile(plan.state_dir, plan.name, budget.bounds(), unusable)


def _investigations(plan: Plan, agents: Registry) -> Investigations | None:
    if plan.state_dir is None:
        return None
    from beamlens.agent.investigations import Investigations

    return Investigations(plan.state_dir, plan.redactor, lambda: tree.tasks(agents, "tool"))


@lru_cache(maxsize=1)
def _say_in_memory() -> None:
    """Once a process."""
    logger.warning("the budget is kept in memory: a restart begins anew; state_dir= or BEAMLENS_STATE_DIR keeps it")


def _alert_events(bus: Bus) -> Callable[[Verdict, Alert], None]:
    """Turns what becomes of alerts into events."""

    def changed(verdict: Verdict, alert: Alert) -> None:
        if verdict is Verdict.DELIVERED:
            bus.emit("watcher.alert_fired", alert.watcher, alert=alert, trust="untrusted")
        elif verdict is Verdict.MERGED:
            bus.emit("watcher.alert_merged", alert.watcher, {"count": alert.count}, alert=alert, trust="untrusted")
        else:
            bus.emit("watcher.alert_dropped", alert.watcher, alert=alert, reason=verdict.value, trust="untrusted")

    return changed
