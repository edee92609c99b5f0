"""`Beamlens`: one running instance; builds the tree and is the only place that knows every part."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from beamlens.agent import AgentCore, Budget, CompactionPolicy, Ledger, PromptLog, Services
from beamlens.agent import AgentRegistry as Sessions
from beamlens.application import alert_log, instances, tree
from beamlens.application.lookup import AgentRegistry
from beamlens.application.report import Report, closest
from beamlens.application.specs import Watched, resolve, resolve_operators
from beamlens.application.usage import Usage
from beamlens.config import Environment
from beamlens.coordinator import AlertInbox, CoordinatorActor, InboxStats, Insights, Verdict
from beamlens.errors import BeamlensError, ConfigError, NotStarted
from beamlens.findings import AgentStatus, Alert, Insight, status
from beamlens.llm.offline import OfflineAnalyst
from beamlens.llm.registry import ClientRegistry
from beamlens.operator import OperatorActor
from beamlens.probes import hooks, logtap
from beamlens.redact import Redactor
from beamlens.telemetry import Bus
from beamlens.watcher import Sensing, WatcherActor
from beamlens_actors import ActorError, ActorRef, Registry, Shutdown, clock
from beamlens_supervision import ChildSpec, SupervisionError, SupervisorRef, format_tree

if TYPE_CHECKING:
    from beamlens.domains import Domain
    from beamlens_actors import ExitReason

logger = logging.getLogger("beamlens")

_ASK = 1.0
BACKENDS = ("threads",)


class InstanceStatus(NamedTuple):
    """An instance at one moment.

    Attributes:
        name: Its name.
        running: Whether it runs.
        model: Who analyses; ``"offline"`` for the offline analyst.
        watchers: One `AgentStatus` each.
        operators: One each.
        coordinator: The coordinator's, ``None`` while it is being restarted.
        inbox: The account of alerts: fired = delivered + merged + dropped + queued.
        insights: Insights that are kept.
        events_dropped: Telemetry events lost to a full queue.
    """

    name: str
    running: bool
    model: str
    watchers: tuple[AgentStatus, ...]
    operators: tuple[AgentStatus, ...]
    coordinator: AgentStatus | None
    inbox: InboxStats
    insights: int
    events_dropped: int


@dataclass(slots=True)
class _Plan:
    """What was checked before anything is started."""

    watched: list[Watched]
    operators: tuple[str, ...]
    clients: ClientRegistry
    redactor: Redactor
    budget: Budget | None
    compaction: CompactionPolicy


class Beamlens:
    """A running instance. Made by `start`, ended by `stop` or by leaving its ``with`` block."""

    def __init__(self, name: str, plan: _Plan, llm_timeout: float) -> None:
        """Not for users: `start` checks what this takes."""
        self.name = name
        self._plan = plan
        self._stopped = threading.Event()
        self._stopped.set()
        self._began = clock.monotonic()
        self._ended = self._began
        self._root: SupervisorRef | None = None
        self._agents = Registry()
        self._bus = Bus(name)
        self._usage = Usage()
        self._prompts = PromptLog()
        self._insights = Insights()
        self._inbox = AlertInbox(on_change=self._alert_changed)
        self._watched: dict[str, Watched] = {one.name: one for one in plan.watched}
        self._sensing: dict[str, Sensing] = {}
        self._lock = threading.RLock()
        offline = OfflineAnalyst()
        primary = plan.clients.primary
        self._services = Services(
            instance=name,
            node=socket.gethostname(),
            bus=self._bus,
            loop_tasks=lambda: tree.tasks(self._agents, "loop"),
            tool_tasks=lambda: tree.tasks(self._agents, "tool"),
            client=offline if primary.model == offline.model else primary,
            offline=offline,
            redactor=plan.redactor,
            prompts=self._prompts,
            llm_timeout=llm_timeout,
            budget=None if plan.budget is None else Ledger(plan.budget, self._budget_exhausted),
            compaction=plan.compaction,
        )
        self._core = AgentCore(self._services, Sessions(), self._agents)
        self._bus.listen(alert_log.listen)
        self._bus.listen(self._usage.listen)
        plan.clients.report_to(self._bus)

    # -- life ------------------------------------------------------------------------------------------------

    @classmethod
    def start(
        cls,
        watchers: Iterable[Any] = (),
        *,
        operators: Iterable[str] | None = None,
        client_registry: Any = None,
        backend: str = "threads",
        name: str = "beamlens",
        budget: Budget | None = None,
        redact: Iterable[str] = (),
        llm_timeout: float = 60.0,
        compaction_max_tokens: int = 50_000,
        compaction_keep_last: int = 5,
        **unknown: Any,
    ) -> Self:
        """Start watching this process. Everything is checked first; what fails leaves nothing behind.

        Args:
            watchers: What to watch: built-in names, `Domain` subclasses or instances, `WatcherSpec`s or mappings of
                their fields. Without any, the names in ``BEAMLENS_WATCHERS``.
            operators: Names of the domains that can be asked; by default all built-in ones. They are idle.
            client_registry: Who analyses, see `ClientRegistry.build`. By default Anthropic's Haiku if
                ``ANTHROPIC_API_KEY`` is set, else the offline analyst.
            backend: What the actors run on: ``"threads"``.
            name: The instance's name; several may run under different ones.
            budget: What models may cost; by default ``BEAMLENS_BUDGET_USD_PER_DAY`` says. Spent, the offline analyst
                takes over, and the signal ``budget.exhausted`` tells it.
            redact: Further regular expressions of what must not leave the process.
            llm_timeout: Seconds for one model call.
            compaction_max_tokens: Size of a conversation with a model from which on its older part is summarised; see
                `CompactionPolicy`.
            compaction_keep_last: So many of its last messages stay word for word.
            unknown: Refused, with the arguments that exist.

        Returns:
            The running instance; with ``BEAMLENS_DISABLED=1`` a stopped one, with nothing installed.

        Raises:
            ConfigError: A value is wrong; names the field and the choices.
            AlreadyStarted: An instance of that name runs; carries it.
            BeamlensError: A part did not start; names it.
        """
        if unknown:
            names = (
                "watchers, operators, client_registry, backend, name, budget, redact, llm_timeout, "
                "compaction_max_tokens, compaction_keep_last"
            )
            first = next(iter(unknown))
            raise ConfigError(f"there is no argument {first!r}; the arguments are: {names}", field=first)
        _check(name, backend, llm_timeout)
        environment = Environment.read()
        entries = list(watchers) if not isinstance(watchers, str) and isinstance(watchers, Iterable) else watchers
        plan = _Plan(
            watched=resolve(entries or environment.watchers),
            operators=resolve_operators(operators),
            clients=ClientRegistry.build(client_registry),
            redactor=Redactor(redact),
            budget=_budget(budget, environment),
            compaction=CompactionPolicy(compaction_max_tokens, compaction_keep_last),
        )
        for index, one in enumerate(plan.watched):
            if one.client is not None and one.client not in plan.clients.names:
                text = f"watchers[{index}].client: no client is named {one.client!r}; the clients are: "
                raise ConfigError(text + ", ".join(plan.clients.names), field=f"watchers[{index}].client")
        instance = cls(name, plan, llm_timeout)
        if not environment.disabled:
            instances.add(name, instance)
            instance._start()
        return instance

    @classmethod
    def child_spec(cls, **options: Any) -> ChildSpec:
        """How a supervisor of the host's starts an instance; takes the arguments of `start`."""

        def start() -> tuple[ActorRef[Any], Beamlens]:
            instance = cls.start(**options)
            return instance._running_root(), instance  # noqa: SLF001 - of this class

        return ChildSpec(options.get("name", "beamlens"), start, type="supervisor", shutdown=5.0)

    def _start(self) -> None:
        self._bus.start()
        on_event = tree.events_to(self._bus)
        specs = [
            tree.task_supervisor(self._agents, on_event),
            tree.registry_child(self._agents),
            *(spec for one in self._watched.values() for spec in one.domain.children()),
            *tree.agent_children(self._core.registry, self._agents, on_event),
            CoordinatorActor.child_spec(
                self._services,
                self._inbox,
                self._insights,
                registry=self._agents,
                quiet_sensors=self._quiet_sensors,
            ),
            tree.watcher_supervisor(self._watcher_specs, self._agents, on_event),
            tree.operator_supervisor(
                [
                    OperatorActor.child_spec(self._services, name, registry=self._agents)
                    for name in self._plan.operators
                ],
                on_event,
            ),
        ]
        self._stopped.clear()
        try:
            self._root = tree.start_root(specs, on_event)
        except BaseException as error:
            self._clean_up()
            if isinstance(error, SupervisionError | ActorError):
                raise BeamlensError(f"Beamlens could not start: {error}") from error
            raise
        self._root.add_exit_callback(self._root_ended)
        self._bus.emit("instance.started", self.name, watchers=list(self._watched), model=self.model)

    def stop(self, timeout: float = 5.0) -> bool:
        """Stop watching, put every hook back, end every thread that can be ended. Again: does nothing.

        Args:
            timeout: Seconds for an orderly end; what has not ended by then is abandoned.

        Returns:
            Whether it ended in order.
        """
        root = self._root
        if root is None or self._stopped.is_set():
            return True
        orderly = True
        try:
            root.stop(Shutdown(), timeout=timeout)
        except TimeoutError:
            orderly = False
            root.kill()
        self._finish()
        return orderly

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return not self._stopped.is_set()

    def _root_ended(self, _ref: ActorRef[Any], reason: ExitReason) -> None:
        # Also when it gave up: too many restarts. Then monitoring has ended, and that is said.
        if not self._stopped.is_set() and not isinstance(reason, Shutdown):
            logger.error("Beamlens %r has ended: %r", self.name, reason)
        self._finish()

    def _finish(self) -> None:
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
        self._ended = clock.monotonic()
        self._bus.emit("instance.stopped", self.name, {"duration": self._ended - self._began})
        self._clean_up()

    def _clean_up(self) -> None:
        self._stopped.set()
        for one in list(self._watched.values()):
            try:
                one.domain.close()
            except Exception:
                logger.exception("domain %s could not be closed", one.name)
        self._core.stop()
        self._plan.clients.close()
        self._bus.close(0.3)
        instances.remove(self.name, self)

    def forget(self) -> None:
        """In a forked child: the threads are not here. Take the hooks out and count as stopped."""
        self._stopped = threading.Event()
        self._stopped.set()
        self._lock = threading.RLock()
        self._bus.forget()
        logtap.after_fork()
        hooks.after_fork()

    # -- watchers --------------------------------------------------------------------------------------------

    def _watcher_specs(self) -> list[ChildSpec]:
        return [self._watcher_spec(one) for one in list(self._watched.values())]

    def _watcher_spec(self, one: Watched) -> ChildSpec:
        def publish(alert: Alert) -> Verdict:
            return self._inbox.offer(alert, one.cooldown)

        client = None if one.client is None else self._plan.clients.client(one.client)
        return WatcherActor.child_spec(
            self._services,
            one.domain,
            publish,
            registry=self._agents,
            name=one.name,
            client=client,
            on_sensing=self._sensing.__setitem__,
        )

    def start_watcher(self, entry: Any) -> None:
        """Watch one thing more; see `start` for what an entry may be.

        Raises:
            ConfigError: The entry is wrong, or the name is taken.
            NotStarted: The instance does not run.
        """
        (one,) = resolve([entry])
        with self._lock:
            if one.name in self._watched:
                raise ConfigError(f"a watcher named {one.name!r} runs already", field="name")
            root, supervisor = self._running_root(), self._agents.lookup(("supervisor", "watchers"))
            started: list[ChildSpec] = []
            try:
                for spec in one.domain.children():
                    root.start_child(spec)
                    started.append(spec)
                if supervisor is None:
                    text = "the watchers are being restarted; try again"
                    raise BeamlensError(text)  # noqa: TRY301 - cleaned up like any other failure
                supervisor.start_child(self._watcher_spec(one))  # type: ignore[attr-defined]
            except BaseException:
                self._remove_children(root, started)
                one.domain.close()
                raise
            self._watched[one.name] = one

    def stop_watcher(self, name: str) -> None:
        """Stop a watcher and its domain's stores.

        Raises:
            ConfigError: There is none of that name; lists those that run.
            NotStarted: The instance does not run.
        """
        with self._lock:
            root = self._running_root()
            one = self._watched.pop(name, None)
            if one is None:
                raise ConfigError(f"no watcher is named {name!r}; running: {', '.join(self._watched) or 'none'}")
            ref, supervisor = self._agents.lookup(("watcher", name)), self._agents.lookup(("supervisor", "watchers"))
            if ref is not None and supervisor is not None:
                supervisor.terminate_child(ref)  # type: ignore[attr-defined]
            self._sensing.pop(name, None)
            self._remove_children(root, one.domain.children())
            one.domain.close()

    @staticmethod
    def _remove_children(root: SupervisorRef, specs: Iterable[ChildSpec]) -> None:
        for spec in specs:
            try:
                root.terminate_child(spec.id)
                root.delete_child(spec.id)
            except SupervisionError:
                continue

    def _running_root(self) -> SupervisorRef:
        if self._root is None or self._stopped.is_set():
            raise NotStarted(f"the Beamlens instance {self.name!r} does not run")
        return self._root

    def _alert_changed(self, verdict: Verdict, alert: Alert) -> None:
        if verdict is Verdict.DELIVERED:
            self._bus.emit("watcher.alert_fired", alert.watcher, alert=alert)
        elif verdict is Verdict.MERGED:
            self._bus.emit("watcher.alert_merged", alert.watcher, {"count": alert.count}, alert=alert)
        else:
            self._bus.emit("watcher.alert_dropped", alert.watcher, alert=alert, reason=verdict.value)

    def _budget_exhausted(self, limit: str, spent: float, bound: float) -> None:
        logger.warning(
            "the budget is spent: %s is %g, and %g were used; the offline analyst takes over", limit, bound, spent
        )
        self._bus.emit("budget.exhausted", "budget", {"spent": spent, "bound": bound}, limit=limit)

    def _quiet_sensors(self) -> list[str]:
        return [f"{name}.{sensor}" for name, sensing in list(self._sensing.items()) for sensor in sensing.quiet()]

    # -- questions -------------------------------------------------------------------------------------------

    @property
    def registry(self) -> AgentRegistry:
        """Finds its agents by name."""
        return AgentRegistry(self._agents)

    @property
    def agent_core(self) -> AgentCore:
        """What agents of your own run on: ``Agent.start(..., core=lens.agent_core)`` shares budget and telemetry."""
        return self._core

    @property
    def coordinator(self) -> ActorRef[Any] | None:
        """The Coordinator's ref; ``None`` while it is being restarted."""
        return self._agents.lookup(("coordinator", "coordinator"))

    @property
    def model(self) -> str:
        """Who analyses; ``"offline"`` for the offline analyst."""
        return self._services.client.model

    def domain(self, name: str) -> Domain:
        """The live domain of a watcher.

        Raises:
            ConfigError: No watcher has that name; lists those that run.
        """
        if name not in self._watched:
            raise ConfigError(f"no watcher is named {name!r}; running: {', '.join(self._watched) or 'none'}")
        return self._watched[name].domain

    def status(self) -> InstanceStatus:
        """How the instance and its agents are; at once, also while models are asked."""
        return InstanceStatus(
            name=self.name,
            running=self.running,
            model=self.model,
            watchers=self._ask_all("watcher", self._watched),
            operators=self._ask_all("operator", self._plan.operators),
            coordinator=next(iter(self._ask_all("coordinator", ["coordinator"])), None),
            inbox=self._inbox.counts(),
            insights=len(self._insights.all()),
            events_dropped=self._bus.dropped,
        )

    def list_watchers(self) -> list[AgentStatus]:
        """Status of each watcher."""
        return list(self._ask_all("watcher", self._watched))

    def list_operators(self) -> list[AgentStatus]:
        """Status of each operator."""
        return list(self._ask_all("operator", self._plan.operators))

    def _ask_all(self, kind: str, names: Iterable[str]) -> tuple[AgentStatus, ...]:
        refs = [ref for name in list(names) if (ref := self._agents.lookup((kind, name))) is not None]
        futures = []
        for ref in refs:
            try:
                futures.append(ref.ask(status, block=False, timeout=_ASK))
            except ActorError:  # ended a moment ago
                continue
        answers = []
        for future in futures:
            try:
                answers.append(future.get(timeout=_ASK))
            except Exception:  # noqa: BLE001, S112 - it ended, or is too busy: the others still count
                continue
        return tuple(answers)

    def insights(self) -> list[Insight]:
        """The last insights, oldest first."""
        return self._insights.all()

    def tree(self) -> str:
        """The running supervision tree as text; empty when stopped."""
        return format_tree(self._root) if self._root is not None and self.running else ""

    def report(self) -> Report:
        """What was looked at, what was found, what is closest to a limit. Works after `stop` too."""
        watched = list(self._watched.values())
        snapshots: dict[str, dict[str, Any]] = {}
        for one in watched:
            try:
                snapshots[one.name] = one.domain.snapshot()
            except Exception as error:  # noqa: BLE001 - a domain is foreign code
                snapshots[one.name] = {"_unavailable": {"snapshot": type(error).__name__}}
        looks = sum(one.runs for one in self.list_watchers()) if self.running else 0
        active = [f"{name}.{s.name}" for name, sensing in list(self._sensing.items()) for s in sensing.active()]
        return Report(
            seconds=(clock.monotonic() if self.running else self._ended) - self._began,
            watched=tuple(one.name for one in watched),
            looks=looks,
            active_sensors=tuple(active),
            open_alerts=tuple(self._inbox.open_alerts()),
            insights=tuple(self._insights.all()),
            closest=closest(snapshots, [(one.name, one.domain) for one in watched]),
            snapshots=snapshots,
            model=self.model,
        )

    def usage(self) -> dict[str, Any]:
        """Calls, tokens, dollars so far, in all and ``by_agent``; ``cost_usd`` leaves out models of unknown price.

        ``budget`` is what was spent of each limit within its window; it is empty without a budget.
        """
        ledger = self._services.budget
        return {**self._usage.summary(), "budget": {} if ledger is None else ledger.spent()}

    def prompts(self, last: int = 10) -> list[dict[str, Any]]:
        """The last requests that left the process, as sent, after redaction; newest last."""
        return self._prompts.last(last)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until what has happened was delivered to the receivers; False when `timeout` seconds passed first."""
        return self._bus.flush(timeout)

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<Beamlens {self.name!r} {state}, watching {', '.join(self._watched) or 'nothing'}>"


def _check(name: object, backend: object, llm_timeout: object) -> None:
    if not isinstance(name, str) or not name:
        raise ConfigError(f"name must be a text that is not empty, not {name!r}", field="name")
    if backend not in BACKENDS:
        raise ConfigError(
            f"backend {backend!r} does not exist; the choices are: {', '.join(BACKENDS)}", field="backend"
        )
    if not isinstance(llm_timeout, (int, float)) or isinstance(llm_timeout, bool) or not llm_timeout > 0:
        raise ConfigError(f"llm_timeout must be seconds above 0, not {llm_timeout!r}", field="llm_timeout")


def _budget(given: object, environment: Environment) -> Budget | None:
    if given is not None and not isinstance(given, Budget):
        raise ConfigError(f"budget must be a Budget or None, not {given!r}", field="budget")
    if given is None and environment.budget_usd_per_day is not None:
        return Budget(usd_per_day=environment.budget_usd_per_day)
    return given
