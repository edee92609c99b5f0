"""The Coordinator: correlates alerts into insights, and answers whoever asks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beamlens.agent.supervised import GRACE
from beamlens.coordinator.board import Board
from beamlens.coordinator.inbox import AlertInbox, AlertsWaiting
from beamlens.coordinator.job import Job
from beamlens.coordinator.prompt import NAME
from beamlens.errors import BeamlensError, Cancelled
from beamlens.findings import AgentStatus, CoordinatorResult, Insight, StatusRequest
from beamlens_actors import AbortSignal, Actor, ActorError, ExitReason, clock
from beamlens_supervision import ChildSpec, SupervisionError

if TYPE_CHECKING:
    from beamlens.agent.services import Services
    from beamlens.coordinator.run import CoordinatorRun
    from beamlens.coordinator.strategies import Strategy
    from beamlens.llm.client import LLMClient
    from beamlens.operator.calls import Operators
    from beamlens_actors import Registry, Timer

SETTLE = 3.0
"""Seconds of quiet to wait for, so that alerts of one trouble are seen together."""

SETTLE_AT_MOST = 9.0
_RETRY_AFTER = 5.0
_PATIENCE = 3  # settling times that a run which a domain asked for waits for alerts that belong to it
_INSIGHTS_KEPT = 100
_MOST_QUEUED = 100


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A message to the Coordinator: a domain wants a run. Alerts that come in the next seconds are part of it.

    Attributes:
        sender: Which.
        reason: Why.
        observed: What was seen; text from outside.
    """

    sender: str
    reason: str
    observed: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A message to the Coordinator: somebody wants a run; its handle brings the answer."""

    job: Job


@dataclass(frozen=True, slots=True)
class CancelRun:
    """A message to the Coordinator: end the run in progress; those in the queue go on. Answered: whether one ran."""


class _TimeToRun:
    def __init__(self, number: int) -> None:
        self.number = number


class _TimeOfSchedule:
    def __init__(self, number: int, job: Job) -> None:
        self.number = number
        self.job = job


class _RunEnded:
    """With the result and what was scheduled, if its task brought them."""

    def __init__(self, number: int, ended: tuple[CoordinatorResult, tuple[float, str] | None] | None) -> None:
        self.number = number
        self.ended = ended


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
    One run at a time; those that were asked for come first, in the order of their coming.
    """

    def __init__(
        self,
        services: Services,
        inbox: AlertInbox,
        insights: Insights,
        *,
        operators: Operators | None = None,
        strategy: Strategy | str = "agent_loop",
        client: LLMClient | None = None,
        quiet_sensors: Callable[[], list[str]] = list,
        settle: float = SETTLE,
    ) -> None:
        """Make a coordinator.

        Args:
            services: The instance.
            inbox: Its mailbox.
            insights: Where its insights are kept.
            operators: Whom it may ask; by default nobody.
            strategy: How its runs go about their work, where they do not say so themselves.
            client: Who answers; by default the instance's primary client.
            quiet_sensors: Names of sensors that are watched and not active, as ``domain.sensor``.
            settle: Seconds of quiet before a run; see `SETTLE`.
        """
        super().__init__()
        self._services = services
        self._inbox = inbox
        self._insights = insights
        self._operators = operators
        self._strategy = strategy
        self._client = client
        self._quiet_sensors = quiet_sensors
        self._settle = settle
        self._abort = AbortSignal()
        self._board = Board(inbox)
        self._queue: deque[Job] = deque()
        self._number = 0
        self._job: Job | None = None
        self._run_abort = self._abort
        self._runs = 0
        self._iteration = 0
        self._stopped_by = ""
        self._waiting_since: float | None = None
        self._requested: Job | None = None
        self._schedule: Timer | None = None
        self._scheduled = 0
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
        # Also when it is killed, which runs no hook in time: nobody may wait for an answer that does not come.
        self.actor_ref.add_exit_callback(lambda _ref, _reason: self._give_up())
        self._services.bus.emit("coordinator.started", NAME, {"queued": self._inbox.counts().queued})

    def on_receive(self, message: Any) -> Any:
        """Answer ``status``; otherwise its inbox, timers, runs and those who ask."""
        match message:
            case StatusRequest():
                return self._status()
            case AlertsWaiting():
                self._alerts_waiting()
            case Ask(job=job):
                self._asked(job)
            case RunRequest():
                self._wanted(message)
            case CancelRun():
                return self._cancel()
            case _TimeToRun(number=number):
                if number == self._number and self._job is None:
                    self._take_up_alerts()
            case _TimeOfSchedule():
                self._schedule_due(message)
            case _RunEnded():
                self._run_ended(message)
            case _:
                self._services.bus.emit("coordinator.unexpected_message", NAME, message=repr(message)[:200])
        return None

    def on_terminate(self, reason: ExitReason) -> None:
        """Stop the run; what it had leased waits for the next coordinator."""
        self._abort.abort(reason)
        self._give_up()

    def _give_up(self) -> None:
        self._abort.abort("the coordinator ended")
        if self._schedule is not None:
            self._schedule.cancel()
        while self._queue:
            _refuse(self._queue.popleft(), Cancelled("the Coordinator ended before the run began"))
        if self._job is not None and self._job.handle is not None:
            self._job.handle.fail(Cancelled("the Coordinator ended during the run"))

    def _status(self) -> AgentStatus:
        return AgentStatus(
            name=NAME,
            kind="coordinator",
            iteration=self._iteration,
            running=self._job is not None,
            runs=self._runs,
            alerts=len(self._board.unresolved()),
            stopped_by=self._stopped_by,
            model=self._model(),
            queued=sum(job.handle is None or job.handle.state == "queued" for job in self._queue),
        )

    # -- why it runs -----------------------------------------------------------------------------------------

    def _alerts_waiting(self) -> None:
        for alert in self._board.take():
            self._services.bus.emit("coordinator.alert_received", NAME, alert=alert, trust="untrusted")
        now = clock.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        if self._job is None:
            left = self._waiting_since + max(self._settle, SETTLE_AT_MOST) - now
            self._plan(min(self._settle, max(0.0, left)))

    def _wanted(self, request: RunRequest) -> None:
        context = {"reason": request.reason, "observed": request.observed}
        self._requested = Job(context, asked_by=request.sender)
        if self._job is None and self._waiting_since is None:
            self._plan(_PATIENCE * self._settle)

    def _asked(self, job: Job) -> None:
        # Who asks looks now: what was to be looked at later is part of it, or is scheduled anew.
        if self._schedule is not None:
            self._schedule.cancel()
            self._schedule = None
        if len(self._queue) >= _MOST_QUEUED:  # those that were cancelled keep no place
            self._queue = deque(one for one in self._queue if one.handle is None or one.handle.state == "queued")
        if len(self._queue) >= _MOST_QUEUED:
            _refuse(job, BeamlensError(f"{_MOST_QUEUED} runs of the Coordinator wait already; try again later"))
            return
        self._queue.append(job)
        self._next()

    def _schedule_due(self, due: _TimeOfSchedule) -> None:
        if due.number != self._scheduled or self._schedule is None:
            return
        self._schedule = None
        self._services.bus.emit(
            "coordinator.scheduled_reinvoke", NAME, reason=str(due.job.context["reason"]), trust="untrusted"
        )
        self._queue.append(due.job)
        self._next()

    def _plan(self, delay: float) -> None:
        self._number += 1
        self.send_after(delay, _TimeToRun(self._number))

    def _next(self) -> None:
        """Begin the next run that was asked for, if none is in progress."""
        while self._job is None and self._queue:
            job = self._queue.popleft()
            if job.handle is None or job.handle.begin():
                self._begin(job)

    def _take_up_alerts(self, client: LLMClient | None = None) -> None:
        requested, self._requested = self._requested, None
        if not self._board.unresolved() and requested is None:
            return
        self._waiting_since = None
        self._begin(requested or Job(), client)

    def _cancel(self) -> bool:
        running = self._job is not None
        if running:
            self._run_abort.abort("cancelled")
        return running

    # -- runs ------------------------------------------------------------------------------------------------

    def _begin(self, job: Job, client: LLMClient | None = None) -> None:
        self._job = job
        self._number += 1
        number = self._number
        self._run_abort = self._abort.child()
        try:
            run = self._make_run(job, client)
            self._model = lambda: run.model
            task = self._services.loop_tasks().run_nolink(
                lambda: (run.perform(), run.scheduled), name="coordinator:run", shutdown=GRACE
            )
        except (ActorError, SupervisionError):
            # The tasks' supervisor is being restarted. Who asked gets an answer; alerts wait for the next run.
            if job.handle is not None:
                job.handle.fail(Cancelled("the run could not begin: its supervisor is being restarted"))
            clock.call_later(1.0, lambda: self._tell(_RunEnded(number, None)))
            return
        task.add_done_callback(lambda ended: self._tell(_RunEnded(number, _value(ended))))

    def _make_run(self, job: Job, client: LLMClient | None) -> CoordinatorRun:
        # Here and not at the top: many a process never has an alert.
        from beamlens.coordinator.run import CoordinatorRun
        from beamlens.coordinator.strategies import resolve
        from beamlens.operator.calls import NoOperators

        return CoordinatorRun(
            self._services,
            self._board,
            self._operators or NoOperators(),
            job,
            strategy=job.strategy or resolve(self._strategy),
            abort=self._run_abort,
            keep=self._insights.add,
            earlier=self._insights.all()[-5:],
            quiet_sensors=self._quiet_sensors,
            client=client or self._client,
            on_iteration=self._iteration_begins,
        )

    def _iteration_begins(self, iteration: int) -> None:
        self._iteration = iteration

    def _run_ended(self, message: _RunEnded) -> None:
        if message.number != self._number or self._job is None:
            return
        job, self._job = self._job, None
        self._runs += 1
        self._board.drop_added()
        result, scheduled = message.ended or (None, None)
        self._stopped_by = "lost" if result is None else result.stopped_by
        if job.handle is not None:
            job.handle.fail(Cancelled("the run was lost: its task ended"))  # if it has not ended already
        if scheduled is not None:
            self._plan_schedule(job, *scheduled)
        self._next()
        if self._job is None:
            self._take_up_what_is_left(job, result)

    def _plan_schedule(self, job: Job, seconds: float, reason: str) -> None:
        self._scheduled += 1
        again = Job(
            {"reason": reason}, domains=job.domains, strategy=job.strategy, asked_by="schedule", chain=job.chain + 1
        )
        self._schedule = self.send_after(seconds, _TimeOfSchedule(self._scheduled, again))

    def _take_up_what_is_left(self, job: Job, result: CoordinatorResult | None) -> None:
        if not self._board.unresolved():
            if self._requested is not None:
                self._plan(self._settle)
            return
        if job.asked or result is None or result.stopped_by in ("done", "cancelled"):
            self._plan(self._settle)  # alerts that came during the run, or a lost task
        elif result.model == self._services.offline.model:
            self._plan(_RETRY_AFTER)
        else:
            self._take_up_alerts(self._services.offline)

    def _tell(self, message: object) -> None:
        if self._abort.aborted:
            return
        try:
            self.actor_ref.tell(message)
        except ActorError:
            pass  # it has ended meanwhile


def _value(task: Any) -> Any:
    outcome = task.outcome()
    return outcome.value if outcome.ok else None


def _refuse(job: Job, error: BaseException) -> None:
    if job.handle is not None:
        job.handle.fail(error)
