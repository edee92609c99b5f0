"""`Operator`: asking an operator to look, from anywhere in the program. Without state."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from beamlens.application import runs
from beamlens.application.arguments import seconds
from beamlens.application.instances import running
from beamlens.application.operators import ask_status, say
from beamlens.application.runs import Context
from beamlens.domains import Domain
from beamlens.errors import ConfigError, NotStarted, OperatorNotStarted
from beamlens.findings import AgentStatus, Alert, OperatorMessage, RunHandle
from beamlens.operator import Invoke, OperatorActor, send
from beamlens_actors import ActorRef
from beamlens_actors.context import current_actor

if TYPE_CHECKING:
    from beamlens.application.instance import Beamlens
    from beamlens.application.operators import InstanceOperators
    from beamlens.llm.client import LLMClient

Target: TypeAlias = "str | type[Domain] | Domain | ActorRef[Any]"
Where: TypeAlias = "str | Beamlens | None"
OnNotification = Callable[[Alert], object]
OnComplete = Callable[["RunHandle[list[Alert]]"], object]


class Operator:
    """Asks operators of the oldest instance that runs, or of ``instance=``.

    Whom to ask is said by a name, a `Domain` class or instance of that name, or the ref of an `OperatorActor`.
    """

    @staticmethod
    def run(
        domain: Target,
        context: Context = None,
        *,
        max_iterations: int = 25,
        timeout: float | None = None,
        deadline: float | None = None,
        client_registry: Any = None,
        client: LLMClient | None = None,
        instance: Where = None,
    ) -> list[Alert]:
        """Have a domain looked into now, and wait for what is found.

        Runs of one operator are done one after the other, in the order they were asked for.

        Args:
            domain: Whom to ask.
            context: Why, and what is known: ``{"reason": "memory grows since noon"}``, or the reason alone. It may
                quote anything.
            max_iterations: Most model calls; what was found by then is the result.
            timeout: Seconds to wait. Then a run that is queued loses its place, and one in progress goes on.
            deadline: Seconds from the run's begin on after which it is ended.
            client_registry: Who analyses in this run, see `ClientRegistry.build`; checked before anything begins.
            client: The same, one client.
            instance: Which instance, or its name.

        Returns:
            What was found, oldest first; empty: nothing is beyond its bounds.

        Raises:
            UnknownDomain: There is no domain of that name; lists those that are.
            OperatorNotStarted: The domain has no operator here; says what to add.
            NotStarted: No instance runs.
            ConfigError: An argument is wrong.
            TimeoutError: `timeout` has passed.
            DeadlineExceeded: `deadline` has ended the run.
            Cancelled: The run was cancelled, or the operator ended.
            LLMError: The model failed, and nobody could take over.
        """
        handle = _begin(
            domain,
            context,
            max_iterations=max_iterations,
            timeout=timeout,
            deadline=deadline,
            client_registry=client_registry,
            client=client,
            instance=instance,
            wanted=runs.caller_is_there(),
        )
        asker = current_actor()
        if asker is not None:  # one that ends takes its run along
            handle.add_done_callback(asker.add_exit_callback(lambda _ref, _reason: handle.cancel()))
        return runs.finished(handle, timeout)

    @staticmethod
    def run_async(
        domain: Target,
        context: Context = None,
        *,
        max_iterations: int = 25,
        deadline: float | None = None,
        client_registry: Any = None,
        client: LLMClient | None = None,
        on_notification: OnNotification | None = None,
        on_complete: OnComplete | None = None,
        instance: Where = None,
    ) -> RunHandle[list[Alert]]:
        """`run` without waiting.

        Args:
            domain: Whom to ask.
            context: See `run`.
            max_iterations: See `run`.
            deadline: See `run`.
            client_registry: See `run`.
            client: See `run`.
            on_notification: Is called with each finding as it comes, on the run's own thread.
            on_complete: Is called with the handle once the run has ended, in whatever way.
            instance: See `run`.

        Returns:
            The run: ``result()``, ``cancel()``, ``report``, and iteration over what is found.

        Raises:
            UnknownDomain, OperatorNotStarted, NotStarted, ConfigError: As `run`.
        """
        return _begin(
            domain,
            context,
            max_iterations=max_iterations,
            deadline=deadline,
            client_registry=client_registry,
            client=client,
            instance=instance,
            on_notification=on_notification,
            on_complete=on_complete,
        )

    @staticmethod
    async def arun(
        domain: Target,
        context: Context = None,
        *,
        max_iterations: int = 25,
        timeout: float | None = None,  # noqa: ASYNC109 - as `run`
        deadline: float | None = None,
        client_registry: Any = None,
        client: LLMClient | None = None,
        instance: Where = None,
    ) -> list[Alert]:
        """`run` for asyncio: the event loop goes on meanwhile. A task that is cancelled cancels the run."""
        handle = _begin(
            domain,
            context,
            max_iterations=max_iterations,
            timeout=timeout,
            deadline=deadline,
            client_registry=client_registry,
            client=client,
            instance=instance,
        )
        return await runs.afinished(handle, timeout)

    @staticmethod
    def message(
        domain: Target,
        prompt: str,
        timeout: float = 30.0,
        *,
        instance: Where = None,
    ) -> OperatorMessage:
        """Ask an operator about what it has seen, in a run or after it; a run in progress is not disturbed.

        Raises:
            TimeoutError: It did not answer in time.
            LLMError: Its model failed.
            UnknownDomain, OperatorNotStarted, NotStarted, ConfigError: As `run`.
        """
        if not isinstance(prompt, str) or not prompt.strip():
            raise ConfigError(f"prompt must be a text that is not empty, not {prompt!r}", field="prompt")
        seconds("timeout", timeout)
        ref, name = _find(domain, instance)
        return say(ref, name, prompt, timeout)

    @staticmethod
    def status(domain: Target, *, instance: Where = None) -> AgentStatus:
        """How an operator is; at once, also while models are asked.

        Raises:
            UnknownDomain, OperatorNotStarted, NotStarted, ConfigError: As `run`.
        """
        ref, name = _find(domain, instance)
        found = ask_status(ref)
        if found is None:
            raise OperatorNotStarted(f"the operator {name!r} does not answer: it is ending")
        return found

    @staticmethod
    def stop(domain: Target, *, instance: Where = None) -> None:
        """End an operator: its runs are cancelled, and it is not started again.

        Raises:
            UnknownDomain, OperatorNotStarted, NotStarted, ConfigError: As `run`.
        """
        ref, name = _find(domain, instance)
        operators = _its_operators(ref, name, instance) if isinstance(domain, ActorRef) else _operators(instance)
        if operators is None:
            ref.stop()
        elif not operators.stop(name):
            raise OperatorNotStarted(f"the operator {name!r} has ended already")


def _begin(
    domain: Target,
    context: Context,
    *,
    max_iterations: int,
    deadline: float | None,
    client_registry: Any,
    client: LLMClient | None,
    instance: Where,
    timeout: float | None = None,
    on_notification: OnNotification | None = None,
    on_complete: OnComplete | None = None,
    wanted: Callable[[], bool] = lambda: True,
) -> RunHandle[list[Alert]]:
    known = runs.known(context)
    if timeout is not None:
        seconds("timeout", timeout)
    ref, name = _find(domain, instance)
    handle: RunHandle[list[Alert]] = RunHandle(
        name, on_notification=on_notification, on_complete=on_complete, wanted=wanted
    )
    with runs.client_of(handle, client_registry, client) as answers:
        send(ref, Invoke(handle, known, answers, max_iterations, deadline))  # checks the limits
    return handle


def _instance(instance: Where) -> Beamlens:
    return running(instance if instance is None or isinstance(instance, str) else instance.name)


def _operators(instance: Where) -> InstanceOperators:
    return _instance(instance).operators


def _its_operators(ref: ActorRef[Any], name: str, instance: Where) -> InstanceOperators | None:
    """Those of the instance that it belongs to, whose supervisor would start it again; ``None``: it is on its own."""
    try:
        operators = _operators(instance)
    except NotStarted:
        return None
    return operators if operators.ref(name) is ref else None


def _find(domain: Target, instance: Where) -> tuple[ActorRef[Any], str]:
    """The live operator, and its name."""
    if isinstance(domain, ActorRef):
        return domain, _name_of(domain)
    operators = _operators(instance)
    is_domain = isinstance(domain, Domain) or (isinstance(domain, type) and issubclass(domain, Domain))
    name: Any = domain.name if is_domain else domain  # type: ignore[union-attr]
    ref = operators.ref(name) if isinstance(name, str) else None
    if ref is None:
        if is_domain and not operators.known(name):
            kind = domain if isinstance(domain, type) else type(domain)
            raise OperatorNotStarted(
                f"there is no operator {name!r}; add operators=[..., {kind.__name__}] to Beamlens.start"
            )
        raise operators.missing(name)
    return ref, name


def _name_of(ref: ActorRef[Any]) -> str:
    if not issubclass(ref.actor_class, OperatorActor):
        raise ConfigError(f"{ref} is no operator but a {ref.actor_class.__name__}; give its name", field="domain")
    found = ask_status(ref)
    if found is None:
        raise OperatorNotStarted(f"the operator {ref} has ended")
    return found.name


__all__ = ["Operator"]
