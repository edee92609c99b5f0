"""The Coordinator: takes alerts from its inbox and correlates them into insights."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beamlens.agent.limits import Limits, RunOutcome
from beamlens.agent.supervised import GRACE
from beamlens.coordinator.board import Board
from beamlens.coordinator.inbox import AlertInbox, AlertsWaiting
from beamlens.coordinator.prompt import NAME, SYSTEM, asked, opening
from beamlens.findings import AgentStatus, Insight, StatusRequest
from beamlens_actors import AbortSignal, Actor, ActorError, ExitReason, clock
from beamlens_supervision import ChildSpec, SupervisionError

if TYPE_CHECKING:
    from beamlens.agent.loop import AgentLoop
    from beamlens.agent.services import Services
    from beamlens.llm.client import LLMClient
    from beamlens_actors import Registry

SETTLE = 3.0
"""Seconds of quiet to wait for, so that alerts of one trouble are seen together."""

SETTLE_AT_MOST = 9.0
DEADLINE = 300.0
_RETRY_AFTER = 5.0
_PATIENCE = 3  # settling times that a run which was asked for waits for alerts that belong to it
_INSIGHTS_KEPT = 100
_EARLIER = 5


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A message to the Coordinator: somebody wants a run. Alerts that come in the next seconds are part of it.

    Attributes:
        sender: Who wants it.
        reason: Why.
        observed: What was seen; text from outside.
    """

    sender: str
    reason: str
    observed: str


class _TimeToRun:
    def __init__(self, number: int) -> None:
        self.number = number


class _RunEnded:
    def __init__(self, number: int, outcome: RunOutcome | None) -> None:
        self.number = number
        self.outcome = outcome


class Insights:
    """The last insights, oldest first; held by the instance, so they outlive the actor."""

    def __init__(self) -> None:
        self._kept: deque[Insight] = deque(maxlen=_INSIGHTS_KEPT)
        self._lock = threading.Lock()

    def add(self, insight: Insight) -> None:
        """Keep one."""
        with self._lock:
            self._kept.append(insight)

    def all(self) -> list[Insight]:
        """All that are kept."""
        with self._lock:
            return list(self._kept)


class CoordinatorActor(Actor):
    """Correlates. It never blocks: its runs are tasks, and ``status`` is answered at once.

    Every alert ends in an insight or is resolved with a reason: what a run leaves over, the offline analyst finishes.
    """

    def __init__(
        self,
        services: Services,
        inbox: AlertInbox,
        insights: Insights,
        *,
        client: LLMClient | None = None,
        quiet_sensors: Callable[[], list[str]] = list,
        settle: float = SETTLE,
    ) -> None:
        """Make a coordinator.

        Args:
            services: The instance.
            inbox: Its mailbox.
            insights: Where its insights are kept.
            client: Who answers; by default the instance's primary client.
            quiet_sensors: Names of sensors that are watched and not active, as ``domain.sensor``.
            settle: Seconds of quiet before a run; see `SETTLE`.
        """
        super().__init__()
        self._services = services
        self._inbox = inbox
        self._insights = insights
        self._client = client
        self._quiet_sensors = quiet_sensors
        self._settle = settle
        self._abort = AbortSignal()
        self._board = Board(inbox)
        self._number = 0
        self._running = False
        self._runs = 0
        self._iteration = 0
        self._stopped_by = ""
        self._waiting_since: float | None = None
        self._requested: RunRequest | None = None
        self._model: Callable[[], str] = str

    @classmethod
    def child_spec(
        cls, services: Services, inbox: AlertInbox, insights: Insights, *, registry: Registry, **options: Any
    ) -> ChildSpec:
        """How a supervisor starts one on its inbox, registered under ``("coordinator", "coordinator")``."""
        launcher = cls.options(name=NAME, mailbox=inbox, register=(registry, (NAME, NAME)))
        return ChildSpec("Coordinator", launcher.start, (services, inbox, insights), options, shutdown=1.0)

    def on_start(self) -> None:
        """Tell that it is there; what waits in the inbox comes as a message."""
        self.actor_ref.add_exit_callback(lambda _ref, _reason: self._abort.abort("the coordinator ended"))
        self._services.bus.emit("coordinator.started", NAME, {"queued": self._inbox.counts().queued})

    def on_receive(self, message: Any) -> Any:
        """Answer ``status``; otherwise its inbox, timers and runs."""
        match message:
            case StatusRequest():
                return self._status()
            case AlertsWaiting():
                self._alerts_waiting()
            case RunRequest():
                self._requested = message
                if not self._running and self._waiting_since is None:
                    self._plan(_PATIENCE * self._settle)
            case _TimeToRun(number=number):
                if number == self._number and not self._running:
                    self._begin()
            case _RunEnded():
                self._run_ended(message)
            case _:
                self._services.bus.emit("coordinator.unexpected_message", NAME, message=repr(message)[:200])
        return None

    def on_terminate(self, reason: ExitReason) -> None:
        """Stop the run; what it had leased waits for the next coordinator."""
        self._abort.abort(reason)

    def _status(self) -> AgentStatus:
        return AgentStatus(
            name=NAME,
            kind="coordinator",
            iteration=self._iteration,
            running=self._running,
            runs=self._runs,
            alerts=len(self._board.unresolved()),
            stopped_by=self._stopped_by,
            model=self._model(),
        )

    def _alerts_waiting(self) -> None:
        for alert in self._board.take():
            self._services.bus.emit("coordinator.alert_received", NAME, alert=alert, trust="untrusted")
        now = clock.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        if not self._running:
            left = self._waiting_since + max(self._settle, SETTLE_AT_MOST) - now
            self._plan(min(self._settle, max(0.0, left)))

    def _plan(self, delay: float) -> None:
        self._number += 1
        self.send_after(delay, _TimeToRun(self._number))

    def _begin(self, client: LLMClient | None = None) -> None:
        alerts = self._board.unresolved()
        request, self._requested = self._requested, None
        if not alerts and request is None:
            return
        self._running = True
        self._waiting_since = None
        self._number += 1
        number = self._number
        loop = self._make_loop(client or self._client)
        self._model = lambda: loop.model
        text = opening(alerts, [insight.summary for insight in self._insights.all()[-_EARLIER:]])
        if request is not None:
            text += asked(request.sender, request.reason, request.observed)
        try:
            task = self._services.loop_tasks().run_nolink(loop.run, text, name="coordinator:run", shutdown=GRACE)
        except (ActorError, SupervisionError):
            clock.call_later(1.0, lambda: self._tell(_RunEnded(number, None)))
            return
        task.add_done_callback(
            lambda ended: self._tell(_RunEnded(number, ended.outcome().value if ended.outcome().ok else None))
        )

    def _make_loop(self, client: LLMClient | None) -> AgentLoop:
        # Here and not at the top: many a process never has an alert.
        from beamlens.agent.loop import AgentLoop
        from beamlens.coordinator.tools import Desk, coordinator_tools

        desk = Desk(self._services, self._board, self._insights.add, lambda: loop.model)
        loop = AgentLoop(
            self._services,
            kind="coordinator",
            agent=NAME,
            system=SYSTEM,
            tools=coordinator_tools(desk),
            abort=self._abort,
            limits=Limits(deadline=DEADLINE),
            client=client,
            facts=self._facts,
            on_iteration=self._iteration_begins,
        )
        return loop

    def _iteration_begins(self, iteration: int) -> None:
        self._iteration = iteration
        self._services.bus.emit("coordinator.iteration_start", NAME, iteration=iteration)

    def _facts(self) -> Mapping[str, Any]:
        return {
            "role": "coordinator",
            "alerts": [
                {
                    "id": alert.id,
                    "watcher": alert.watcher,
                    "anomaly_type": alert.anomaly_type,
                    "severity": alert.severity,
                    "observation": alert.observation,
                    "evidence": alert.evidence,
                    "detected_at": alert.detected_at.timestamp(),
                }
                for alert in self._board.unresolved()
            ],
            "earlier": self._earlier(),
            "quiet_sensors": self._quiet_sensors(),
        }

    def _earlier(self) -> list[Mapping[str, Any]]:
        known = {alert.id: alert for alert, _status in self._board.select()}
        found: list[Mapping[str, Any]] = []
        for insight in self._insights.all()[-_EARLIER:]:
            # Alerts that another Coordinator dealt with, before it crashed, are not on this one's board.
            alerts = [known[alert_id] for alert_id in insight.alert_ids if alert_id in known]
            if insight.cause is not None and alerts:
                found.append(
                    {
                        "insight": insight.id,
                        "kind": insight.cause.kind,
                        "place": insight.cause.place,
                        "text": insight.cause.text,
                        "grounded": insight.hypothesis_grounded,
                        "at": min(alert.detected_at.timestamp() for alert in alerts),
                        "severity": max((alert for alert in alerts), key=lambda alert: alert.rank).severity,
                    }
                )
        return found

    def _run_ended(self, message: _RunEnded) -> None:
        if message.number != self._number or not self._running:
            return
        self._running = False
        self._runs += 1
        outcome = message.outcome
        self._stopped_by = "lost" if outcome is None else outcome.stopped_by
        if not self._board.unresolved():
            if self._requested is not None:
                self._plan(self._settle)
            return
        if outcome is None or outcome.stopped_by == "done":
            self._plan(self._settle)  # alerts that came during the run, or a lost task
        elif outcome.model == self._services.offline.model:
            self._plan(_RETRY_AFTER)
        else:
            self._begin(self._services.offline)

    def _tell(self, message: object) -> None:
        if self._abort.aborted:
            return
        try:
            self.actor_ref.tell(message)
        except ActorError:
            pass  # it has ended meanwhile
