"""`Coordinator`: asks the Coordinator of a running instance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from beamlens.application import instances, runs
from beamlens.application.arguments import seconds, whole
from beamlens.coordinator.actor import Ask, CancelRun
from beamlens.coordinator.job import DEADLINE, MAX_ITERATIONS, Job
from beamlens.coordinator.strategies import resolve
from beamlens.domains import built_in_names
from beamlens.errors import Cancelled, ConfigError, CoordinatorNotStarted, UnknownDomain
from beamlens.findings import AgentStatus, Alert, CoordinatorResult, RunHandle, status
from beamlens_actors import ActorError, ActorRef
from beamlens_actors.context import current_actor

if TYPE_CHECKING:
    from beamlens.application.instance import Beamlens
    from beamlens.coordinator.strategies import Strategy
    from beamlens.llm.client import LLMClient

_ASK = 5.0

Handle = RunHandle[CoordinatorResult]


class Coordinator:
    """Asks. Without state: it acts on the oldest running instance, or on ``instance=``.

    ::

        result = Coordinator.run({"reason": "memory grows since the deploy"})
        for insight in result.insights: print(insight.summary)
    """

    @staticmethod
    def run(
        context: Mapping[str, Any] | str | None = None,
        *,
        notifications: Iterable[Alert] = (),
        domains: Iterable[str] | None = None,
        max_iterations: int = MAX_ITERATIONS,
        timeout: float | None = DEADLINE,
        deadline: float | None = None,
        strategy: str | Strategy | None = None,
        client_registry: Any = None,
        client: LLMClient | None = None,
        instance: Beamlens | str | None = None,
    ) -> CoordinatorResult:
        """Have the process looked into, and wait for what it means.

        Args:
            context: Why: ``{"reason": "..."}`` and whatever else is known, or the reason alone.
            notifications: Alerts that are known already.
            domains: Whom it may ask; a built-in domain that is not configured runs for this run only. By default all
                operators of the instance.
            max_iterations: Most model calls of the Coordinator's own.
            timeout: Seconds to wait. A run that waits for its turn loses it then; one in progress goes on.
            deadline: Seconds after which the run itself is ended, with all that works for it; 300 by default.
            strategy: ``agent_loop`` (a model with all tools; the default), ``pipeline`` (always answers a question), or
                an object of your own, see `beamlens.coordinator.strategies.Strategy`.
            client_registry: Who answers in this run, its operators included; see `Beamlens.start`.
            client: The same, as a client that is made already.
            instance: Which, or its name.

        Returns:
            The insights and what each operator found. Without any insight: nothing was found, or the run was cut short;
            ``stopped_by`` says which.

        Raises:
            NotStarted: No instance runs; `CoordinatorNotStarted`: it is being restarted.
            ConfigError: An argument is wrong; `UnknownDomain`: one of `domains` does not exist.
            TimeoutError: It took longer than `timeout`; `DeadlineExceeded`: than `deadline`.
            Cancelled: It was cancelled, or the instance stopped.
            LLMError: No model could be asked, the offline analyst neither.
        """
        handle = _begin(
            RunHandle("coordinator", wanted=runs.caller_is_there()),
            context,
            notifications=notifications,
            domains=domains,
            max_iterations=max_iterations,
            deadline=deadline,
            strategy=strategy,
            client_registry=client_registry,
            client=client,
            instance=instance,
        )
        return runs.finished(handle, timeout)

    @staticmethod
    def run_async(
        context: Mapping[str, Any] | str | None = None,
        *,
        notifications: Iterable[Alert] = (),
        domains: Iterable[str] | None = None,
        max_iterations: int = MAX_ITERATIONS,
        deadline: float | None = None,
        strategy: str | Strategy | None = None,
        client_registry: Any = None,
        client: LLMClient | None = None,
        instance: Beamlens | str | None = None,
        on_notification: Callable[[Alert], object] | None = None,
        on_complete: Callable[[Handle], object] | None = None,
    ) -> Handle:
        """Like `run`, without waiting.

        Args:
            context: See `run`, as for the others.
            notifications: See `run`.
            domains: See `run`.
            max_iterations: See `run`.
            deadline: See `run`.
            strategy: See `run`.
            client_registry: See `run`.
            client: See `run`.
            instance: See `run`.
            on_notification: Is called with each alert that an operator of the run finds.
            on_complete: Is called with the handle once the run has ended, in whatever way.
        """
        handle: Handle = RunHandle("coordinator", on_notification=on_notification, on_complete=on_complete)
        return _begin(
            handle,
            context,
            notifications=notifications,
            domains=domains,
            max_iterations=max_iterations,
            deadline=deadline,
            strategy=strategy,
            client_registry=client_registry,
            client=client,
            instance=instance,
        )

    @staticmethod
    async def arun(context: Mapping[str, Any] | str | None = None, **options: Any) -> CoordinatorResult:
        """`run` for asyncio, with the arguments of `run_async` and ``timeout``; a cancelled task cancels the run."""
        timeout = options.pop("timeout", DEADLINE)
        handle = Coordinator.run_async(context, **options)
        return await runs.afinished(handle, timeout)

    @staticmethod
    def cancel(*, instance: Beamlens | str | None = None) -> bool:
        """End the run in progress; those that wait go on. Whether there was one."""
        ref = _ref(_instance(instance))
        try:
            return bool(ref.ask(CancelRun(), timeout=_ASK))
        except ActorError as error:
            raise CoordinatorNotStarted(f"the Coordinator is being restarted: {error}") from error

    @staticmethod
    def status(*, instance: Beamlens | str | None = None) -> AgentStatus:
        """How it is: whether it runs, its iteration, unresolved alerts, runs that wait. At once, also in a run."""
        ref = _ref(_instance(instance))
        try:
            answer: AgentStatus = ref.ask(status, timeout=_ASK)
        except ActorError as error:
            raise CoordinatorNotStarted(f"the Coordinator is being restarted: {error}") from error
        return answer


def _begin(
    handle: Handle,
    context: runs.Context,
    *,
    notifications: Iterable[Alert],
    domains: Iterable[str] | None,
    max_iterations: int,
    deadline: float | None,
    strategy: str | Strategy | None,
    client_registry: Any,
    client: LLMClient | None,
    instance: Beamlens | str | None,
) -> Handle:
    lens = _instance(instance)
    with runs.client_of(handle, client_registry, client) as answers:
        job = Job(
            context=runs.known(context),
            alerts=_alerts(notifications),
            domains=_domains(domains, lens.operators.names),
            max_iterations=whole("max_iterations", max_iterations),
            deadline=DEADLINE if deadline is None else seconds("deadline", deadline),
            strategy=None if strategy is None else resolve(strategy),
            client=answers,
            asked_by="caller",
            handle=handle,
        )
        _tell(lens, job, handle)
    _end_with_caller(handle, lens)
    return handle


def _instance(instance: Beamlens | str | None) -> Beamlens:
    return instances.running(instance) if instance is None or isinstance(instance, str) else instance


def _ref(lens: Beamlens) -> ActorRef[Any]:
    ref = lens.coordinator
    if ref is None:
        state = "is being restarted; try again" if lens.running else "does not run: the instance has stopped"
        raise CoordinatorNotStarted(f"the Coordinator of {lens.name!r} {state}")
    return ref


def _tell(lens: Beamlens, job: Job, handle: Handle) -> None:
    """Tell it; should it end before it has read that, nobody waits for ever."""
    ref = _ref(lens)

    def ended(_ref: object, reason: object) -> None:
        handle.fail(Cancelled(f"the Coordinator ended: {reason!r}"))

    handle.add_done_callback(ref.add_exit_callback(ended))
    try:
        ref.tell(Ask(job))
    except ActorError as error:
        raise CoordinatorNotStarted(f"the Coordinator of {lens.name!r} is being restarted: {error}") from error


def _end_with_caller(handle: Handle, lens: Beamlens) -> None:
    """An actor that asks and ends takes its run along."""
    asker = current_actor()
    if asker is None:
        return

    def ended(_ref: object, _reason: object) -> None:
        if handle.cancel():
            lens.emit("coordinator.caller_down", "coordinator")

    handle.add_done_callback(asker.add_exit_callback(ended))


def _alerts(notifications: Iterable[Any]) -> tuple[Alert, ...]:
    alerts = tuple(notifications)
    for index, alert in enumerate(alerts):
        if not isinstance(alert, Alert):
            where = f"notifications[{index}]"
            raise ConfigError(f"{where} must be an Alert, not {type(alert).__name__}", field=where)
    return alerts


def _domains(domains: Any, operators: Iterable[str]) -> tuple[str, ...] | None:
    if domains is None:
        return None
    if isinstance(domains, str) or not isinstance(domains, Iterable):
        raise ConfigError('domains must be a list of names, as in domains=["runtime"]', field="domains")
    known = {*built_in_names(), *operators}
    names = tuple(domains)
    for index, name in enumerate(names):
        if name not in known:
            raise UnknownDomain(name, known, field=f"domains[{index}]")
    return names
