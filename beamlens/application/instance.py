"""`Beamlens`: one running instance; builds the tree and is the only place that knows every part."""

from __future__ import annotations

import inspect
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from beamlens.agent.budget import Budget
from beamlens.agent.compaction import CompactionPolicy
from beamlens.application import forks, instances, tree
from beamlens.application.forks import AfterFork
from beamlens.application.instance_status import InstanceStatus, ask_all
from beamlens.application.lookup import AgentRegistry
from beamlens.application.parts import Parts
from beamlens.application.plan import Plan, refuse_unknown
from beamlens.application.report import Report, closest, snapshots
from beamlens.application.watchers import Watchers
from beamlens.config import Environment
from beamlens.coordinator import CoordinatorActor
from beamlens.errors import AlreadyStarted, BeamlensError, NotStarted
from beamlens.findings import AgentStatus, Alert, Insight
from beamlens.probes import hooks, inbound, logtap
from beamlens_actors import ActorError, ActorRef, Shutdown, clock
from beamlens_supervision import ChildSpec, SupervisionError, SupervisorRef, format_tree

if TYPE_CHECKING:
    from beamlens.agent.core import AgentCore
    from beamlens.application.operators import InstanceOperators
    from beamlens.domains import Domain
    from beamlens_actors import ExitReason

logger = logging.getLogger("beamlens")

_BURIAL = 5.0


class Beamlens:
    """A running instance. Made by `start`, ended by `stop` or by leaving its ``with`` block."""

    def __init__(self, make_plan: Callable[[], Plan]) -> None:
        """Not for users: `start` checks what this takes."""
        self._make_plan = make_plan
        self.forked = False
        """Whether it was started anew in a forked child."""
        self._prepare(make_plan())

    def _prepare(self, plan: Plan) -> None:
        self.name = plan.name
        self.after_fork: AfterFork = plan.after_fork
        self._plan = plan
        self._stopped = threading.Event()
        self._stopped.set()
        self._buried = threading.Event()
        self._began = clock.monotonic()
        self._ended = self._began
        self._root: SupervisorRef | None = None
        self._parts = Parts.make(plan)
        self._watchers = Watchers(plan.watched, self._parts, plan.clients, plan.state_dir)
        # Here and not at the top: a program that only imports Beamlens needs none of it.
        from beamlens.application.operators import InstanceOperators

        self._operators = InstanceOperators(plan.operators, self._parts, self._watchers)
        self._lock = threading.RLock()
        self._life = threading.Lock()

    # -- life ------------------------------------------------------------------------------------------------

    @classmethod
    def start(
        cls,
        watchers: Iterable[Any] = (),
        *,
        operators: Iterable[Any] | None = None,
        client_registry: Any = None,
        backend: str = "threads",
        name: str = "beamlens",
        budget: Budget | None = None,
        redact: Iterable[str] = (),
        llm_timeout: float = 60.0,
        compaction_max_tokens: int = 50_000,
        compaction_keep_last: int = 5,
        state_dir: str | os.PathLike[str] | None = None,
        control: bool = False,
        after_fork: AfterFork = "auto",
        **unknown: Any,
    ) -> Self:
        """Start watching this process. Everything is checked first; what fails leaves nothing behind.

        Args:
            watchers: What to watch: built-in names, `Domain` subclasses or instances, `WatcherSpec`s or mappings of
                their fields. Without any, the names in ``BEAMLENS_WATCHERS``.
            operators: What can be asked, see `Operator`: names, `Domain` subclasses or instances; by default all
                built-in domains that need no argument, and all that are watched. They are idle.
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
            state_dir: A folder for what is to outlive the process, made when it is missing; by default
                ``BEAMLENS_STATE_DIR`` says. With one, a restart goes on with the budget where it was, and processes
                that share the folder and the instance's name share the budget. Sessions of your own agents are
                kept in its folder ``sessions``. Without, all that is in memory.
            control: Whether it can be asked from outside, by this user and root only: `beamlens ps`, `top`, `ask` and
                `beamlens.control.connect`. Where no socket can be made it runs without, and says so.
            after_fork: What becomes of it in a forked child, which inherits no threads: ``"auto"`` starts it anew in
                workers of gunicorn, Celery and `multiprocessing`, ``"restart"`` in every child, ``"stop"`` in none.
            unknown: Refused, with the arguments that exist.

        Returns:
            The running instance; with ``BEAMLENS_DISABLED=1`` a stopped one, with nothing installed.

        Raises:
            ConfigError: A value is wrong; names the field and the choices.
            AlreadyStarted: An instance of that name runs; carries it.
            BeamlensError: A part did not start; names it.
        """
        refuse_unknown(unknown, _arguments(cls.start))
        environment = Environment.read()
        make_plan = partial(
            Plan.check,
            environment,
            watchers=_kept(watchers),
            operators=_kept(operators),
            client_registry=client_registry,
            backend=backend,
            name=name,
            budget=budget,
            redact=_kept(redact),
            llm_timeout=llm_timeout,
            compaction=CompactionPolicy(compaction_max_tokens, compaction_keep_last),
            state_dir=state_dir,
            control=control,
            after_fork=after_fork,
        )
        instance = cls(make_plan)
        if not environment.disabled:
            instances.add(instance.name, instance)
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
        self._parts.bus.start()
        on_event = tree.events_to(self._parts.bus)
        specs = self._children(on_event)
        self._stopped.clear()
        try:
            with self._life:
                self._root = tree.start_root(specs, on_event)
        except BaseException as error:
            self._clean_up()
            if isinstance(error, SupervisionError | ActorError):
                raise BeamlensError(f"Beamlens could not start: {error}") from error
            raise
        self._root.add_exit_callback(self._root_ended)
        self._parts.bus.emit("instance.started", self.name, watchers=self._watchers.names, model=self.model)

    def _children(self, on_event: tree.OnEvent) -> list[ChildSpec]:
        parts = self._parts
        return [
            tree.task_supervisor(parts.agents, on_event),
            tree.registry_child(parts.agents),
            *self._watchers.stores(),
            *tree.agent_children(parts.core.registry, parts.agents, on_event),
            CoordinatorActor.child_spec(
                parts.services,
                parts.inbox,
                parts.insights,
                registry=parts.agents,
                operators=self._operators,
                quiet_sensors=self._watchers.quiet_sensors,
            ),
            tree.watcher_supervisor(self._watchers.specs, parts.agents, on_event),
            *self._operators.children(on_event),
            *self._control(),
        ]

    def _control(self) -> list[ChildSpec]:
        if not self._plan.control:
            return []
        from beamlens.application import serving

        def unavailable(reason: str) -> None:
            logger.warning("Beamlens %r cannot be asked from outside: %s", self.name, reason)
            self._parts.bus.emit("control.unavailable", "control", reason=reason)

        return [serving.child_spec(self, unavailable)]

    def stop(self, timeout: float = 5.0) -> bool:
        """Stop watching, put every hook back, end every thread that can be ended. Again: does nothing.

        Args:
            timeout: Seconds for an orderly end; what has not ended by then is abandoned.

        Returns:
            Whether it ended in order.
        """
        # Its parts can be reached before the last of them has started: a stop then waits for that.
        if self._life.acquire(timeout=timeout):
            self._life.release()
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
        self._parts.bus.emit("instance.stopped", self.name, {"duration": self._ended - self._began})
        self._clean_up()

    def _clean_up(self) -> None:
        self._stopped.set()
        self._close_domains()
        self._parts.core.stop()
        self._plan.clients.close()
        self._parts.bus.close(0.3)
        instances.remove(self.name, self)
        self._buried.set()

    def bury(self) -> None:
        """If its root has died, finish what follows from that, or wait until another thread has."""
        if self._root is None or self._root.is_alive():
            return
        self._finish()
        self._buried.wait(_BURIAL)

    def _close_domains(self) -> None:
        self._operators.close()
        self._watchers.close()

    def forget(self) -> None:
        """In a forked child: the threads are not here. Take the hooks out and count as stopped."""
        self._stopped = threading.Event()
        self._stopped.set()
        self._lock = threading.RLock()
        self._life = threading.Lock()
        self._watchers.forget_lock()
        self._operators.forget_lock()
        self._parts.bus.forget()
        logtap.after_fork()
        hooks.after_fork()
        inbound.after_fork()

    def restart(self) -> None:
        """In a forked child that was told to `forget`: start anew, as it was started first."""
        forks.close_inherited(self._close_domains)
        # Domains, clients and parts of its own: the parent's may hold locks that nobody here releases.
        self._prepare(self._make_plan())
        self.forked = True
        try:
            instances.add(self.name, self)
        except AlreadyStarted:
            return  # the worker has started one of this name itself
        self._start()

    # -- watchers --------------------------------------------------------------------------------------------

    def start_watcher(self, entry: Any) -> None:
        """Watch one thing more; see `start` for what an entry may be.

        Raises:
            ConfigError: The entry is wrong, or the name is taken.
            NotStarted: The instance does not run.
        """
        self._watchers.start(entry, self._running_root())

    def stop_watcher(self, name: str) -> None:
        """Stop a watcher and its domain's stores.

        Raises:
            ConfigError: There is none of that name; lists those that run.
            NotStarted: The instance does not run.
        """
        self._watchers.stop(name, self._running_root())

    def _running_root(self) -> SupervisorRef:
        if self._root is None or self._stopped.is_set():
            raise NotStarted(f"the Beamlens instance {self.name!r} does not run")
        return self._root

    # -- questions -------------------------------------------------------------------------------------------

    @property
    def registry(self) -> AgentRegistry:
        """Finds its agents by name."""
        return AgentRegistry(self._parts.agents)

    @property
    def agent_core(self) -> AgentCore:
        """What agents of your own run on: ``Agent.start(..., core=lens.agent_core)`` shares budget and telemetry."""
        return self._parts.core

    @property
    def coordinator(self) -> ActorRef[Any] | None:
        """The Coordinator's ref; ``None`` while it is being restarted."""
        return self._parts.agents.lookup(("coordinator", "coordinator"))

    @property
    def operators(self) -> InstanceOperators:
        """Its operators, as its Coordinator reaches them; `Operator` is what programs ask."""
        return self._operators

    @property
    def model(self) -> str:
        """Who analyses; ``"offline"`` for the offline analyst."""
        return self._parts.services.client.model

    def domain(self, name: str) -> Domain:
        """The live domain of a watcher.

        Raises:
            ConfigError: No watcher has that name; lists those that run.
        """
        return self._watchers.domain(name)

    def status(self) -> InstanceStatus:
        """How the instance and its agents are; at once, also while models are asked."""
        return InstanceStatus(
            name=self.name,
            running=self.running,
            model=self.model,
            watchers=ask_all(self._parts.agents, "watcher", self._watchers.names),
            operators=ask_all(self._parts.agents, "operator", self._operators.names),
            coordinator=next(iter(ask_all(self._parts.agents, "coordinator", ["coordinator"])), None),
            inbox=self._parts.inbox.counts(),
            insights=len(self._parts.insights.all()),
            events_dropped=self._parts.bus.dropped,
        )

    def list_watchers(self) -> list[AgentStatus]:
        """Status of each watcher."""
        return list(ask_all(self._parts.agents, "watcher", self._watchers.names))

    def list_operators(self) -> list[AgentStatus]:
        """Status of each operator."""
        return list(ask_all(self._parts.agents, "operator", self._operators.names))

    def emit(self, name: str, sender: str, **metadata: Any) -> None:
        """Emit one of the catalogue's events in this instance's name. For parts of Beamlens."""
        self._parts.bus.emit(name, sender, **metadata)

    def open_alerts(self) -> list[Alert]:
        """The alerts that are in no insight yet, oldest first."""
        return self._parts.inbox.open_alerts()

    def insights(self) -> list[Insight]:
        """The last insights, oldest first."""
        return self._parts.insights.all()

    @property
    def supervisor(self) -> SupervisorRef | None:
        """The root of its tree; ``None`` when stopped."""
        return self._root if self.running else None

    @property
    def uptime(self) -> float:
        """Seconds for which it runs, or ran."""
        return (clock.monotonic() if self.running else self._ended) - self._began

    def tree(self) -> str:
        """The running supervision tree as text; empty when stopped."""
        return format_tree(self._root) if self._root is not None and self.running else ""

    def report(self) -> Report:
        """What was looked at, what was found, what is closest to a limit. Works after `stop` too."""
        domains = {one.name: one.domain for one in self._watchers}
        taken = snapshots(domains)
        return Report(
            seconds=self.uptime,
            watched=tuple(self._watchers.names),
            looks=sum(one.runs for one in self.list_watchers()) if self.running else 0,
            active_sensors=self._watchers.active_sensors(),
            open_alerts=tuple(self.open_alerts()),
            insights=tuple(self._parts.insights.all()),
            closest=closest(taken, domains),
            snapshots=taken,
            model=self.model,
        )

    def usage(self) -> dict[str, Any]:
        """Calls, tokens, dollars so far, in all and ``by_agent``; ``cost_usd`` leaves out models of unknown price.

        ``budget`` is what was spent of each limit within its window; it is empty without a budget.
        """
        ledger = self._parts.services.budget
        return {**self._parts.usage.summary(), "budget": {} if ledger is None else ledger.spent()}

    def prompts(self, last: int = 10) -> list[dict[str, Any]]:
        """The last requests that left the process, as sent, after redaction; newest last."""
        return self._parts.prompts.last(last)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until what has happened was delivered to the receivers; False when `timeout` seconds passed first."""
        return self._parts.bus.flush(timeout)

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<Beamlens {self.name!r} {state}, watching {', '.join(self._watchers.names) or 'nothing'}>"


def _kept(given: Any) -> Any:
    """What can be gone through once is kept: a forked worker reads it again."""
    return list(given) if isinstance(given, Iterator) else given


def _arguments(start: Callable[..., object]) -> list[str]:
    parameters = inspect.signature(start).parameters.values()
    return [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
