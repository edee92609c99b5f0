"""The operators of an instance: which there are, how each is started and borrows its domain, how they are reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from beamlens.application import anomalies
from beamlens.application.lent_stores import LentStores
from beamlens.application.parts import Parts
from beamlens.application.specs import Operated, describe
from beamlens.application.tree import OPERATORS
from beamlens.application.watchers import Watchers
from beamlens.domains import Domain, built_in, built_in_names, required_argument
from beamlens.domains.sources import WatchesOthers
from beamlens.errors import OperatorNotStarted, UnknownDomain
from beamlens.findings import AgentStatus, Alert, OperatorMessage, RunHandle, StatusRequest
from beamlens.operator import Invoke, Lent, OperatorActor, Say, send
from beamlens.operator.calls import Operators
from beamlens_actors import ActorError, ActorRef
from beamlens_supervision import AlreadyPresent, AlreadyStarted, ChildSpec, SupervisionError, SupervisorRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from beamlens.detect import SensorState
    from beamlens.llm.client import LLMClient
    from beamlens.watcher.sensing import Values

_STATUS = 1.0
_TRIES = 5


class InstanceOperators(Operators):
    """See `Operators`."""

    def __init__(self, operated: Iterable[Operated], parts: Parts, watchers: Watchers) -> None:
        """Not for users.

        Args:
            operated: Those from the start.
            parts: The instance's.
            watchers: Whose domains operators of the same name share.
        """
        self._operated = {one.name: one for one in operated}
        self._parts = parts
        self._watchers = watchers
        self._lent = LentStores(parts.agents)

    def specs(self) -> list[ChildSpec]:
        """How a supervisor starts them."""
        return [self._spec(name) for name in self._operated]

    def close(self) -> None:
        """Take back what is lent: the instance has ended."""
        self._lent.close()

    def forget_lock(self) -> None:
        """In a forked child: whoever held a lock is not here."""
        self._lent.forget_lock()

    # -- which there are -------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Those that were configured."""
        return list(self._operated)

    def descriptions(self) -> Mapping[str, str]:
        """See `Operators.descriptions`."""
        live = [name for name in self._operated if self.ref(name) is not None]
        return {name: describe(self._source(name)) for name in live}

    def known(self, name: str) -> bool:
        """See `Operators.known`."""
        if name in self._operated or name in self._watchers.names:
            return True
        return name in built_in_names() and required_argument(name) is None

    def ref(self, name: str) -> ActorRef[Any] | None:
        """The live operator of a name."""
        return self._parts.agents.lookup(("operator", name))

    def missing(self, name: object) -> OperatorNotStarted | UnknownDomain:
        """What is wrong with a name that no operator has."""
        running = ", ".join(one for one in self._operated if self.ref(one) is not None) or "none"
        if not isinstance(name, str) or not (name in self._operated or name in built_in_names()):
            return UnknownDomain(name, {*built_in_names(), *self._operated, *self._watchers.names})
        if name in self._operated:
            return OperatorNotStarted(f"the operator {name!r} was stopped, or is being restarted; running: {running}")
        argument = required_argument(name)
        how = f'operators=[..., "{name}"]'
        if argument is not None:
            how = f'watchers=[{{"name": "{name}", "{argument}": {argument}}}]'
        return OperatorNotStarted(f"there is no operator {name!r}; add {how} to Beamlens.start; running: {running}")

    # -- asking ----------------------------------------------------------------------------------------------

    def start(
        self,
        name: str,
        context: Mapping[str, Any],
        *,
        client: LLMClient | None = None,
        max_iterations: int = 25,
        deadline: float | None = None,
        on_notification: Callable[[Alert], object] | None = None,
        on_complete: Callable[[RunHandle[list[Alert]]], object] | None = None,
    ) -> RunHandle[list[Alert]]:
        """See `Operators.start`."""
        handle: RunHandle[list[Alert]] = RunHandle(name, on_notification=on_notification, on_complete=on_complete)
        self.invoke(Invoke(handle, context, client, max_iterations, deadline))
        return handle

    def invoke(self, request: Invoke) -> None:
        """Queue a run with the operator that its handle names.

        Raises:
            OperatorNotStarted: There is none, and none can be made for this run.
        """
        name = request.handle.name
        ref = self.ref(name)
        if ref is None and name not in self._operated and self.known(name):
            self._invoke_once(request)
        elif ref is None:
            raise self._not_started(name)
        else:
            send(ref, request)

    def message(self, name: str, prompt: str, timeout: float = 30.0) -> OperatorMessage:
        """See `Operators.message`."""
        ref = self.ref(name)
        if ref is None:
            raise self._not_started(name)
        return say(ref, name, prompt, timeout)

    def status(self, name: str) -> AgentStatus | None:
        """See `Operators.status`."""
        ref = self.ref(name)
        return None if ref is None else ask_status(ref)

    def stop(self, name: str) -> bool:
        """End an operator in order; it is not started again. False: there was none."""
        supervisor = self._supervisor()
        if self.ref(name) is None or supervisor is None:
            return False
        try:
            supervisor.terminate_child(name)
        except SupervisionError:
            return False
        return True

    def _not_started(self, name: str) -> OperatorNotStarted:
        error = self.missing(name)
        return error if isinstance(error, OperatorNotStarted) else OperatorNotStarted(str(error))

    def _supervisor(self) -> SupervisorRef | None:
        found = self._parts.agents.lookup(OPERATORS)
        return found if isinstance(found, SupervisorRef) else None

    # -- one for a run only ----------------------------------------------------------------------------------

    def _invoke_once(self, request: Invoke) -> None:
        """Ask one that ends after its runs. It may be ending just now: then another one is started."""
        name = request.handle.name
        for _ in range(_TRIES):
            ref = self.ref(name) or self._start_once(name)
            if ref is None:
                continue
            try:
                ref.ask(request, timeout=_STATUS)
            except (ActorError, TimeoutError):
                continue
            return
        raise OperatorNotStarted(f"an operator {name!r} for this run could not be started")

    def _start_once(self, name: str) -> ActorRef[Any] | None:
        supervisor = self._supervisor()
        if supervisor is None:
            return None
        spec = self._spec(name, once=True, restart="temporary")
        try:
            ref: ActorRef[Any] = supervisor.start_child(spec)
        except (AlreadyStarted, AlreadyPresent):
            return self.ref(name)
        except (SupervisionError, ActorError):
            return None
        return ref

    # -- domains ---------------------------------------------------------------------------------------------

    def _spec(self, name: str, **options: Any) -> ChildSpec:
        parts = self._parts
        return OperatorActor.child_spec(
            parts.services, lambda: self._lend(name), registry=parts.agents, name=name, **options
        )

    def _source(self, name: str) -> type[Domain] | Domain:
        if name in self._watchers.names:
            return self._watchers.domain(name)
        one = self._operated.get(name)
        return built_in(name) if one is None or one.source is None else one.source

    def _lend(self, name: str) -> Lent:
        """The watcher's domain; else one that is made now, with its stores for as long as it is lent."""
        source = self._source(name)
        if name in self._watchers.names:
            return Lent(self._watchers.domain(name), watching=_Watching(self._watchers, name))
        domain = source() if isinstance(source, type) else source
        if isinstance(domain, WatchesOthers):
            bus = self._parts.bus
            domain.join(anomalies.surroundings(domain, lambda: list(self._watchers), bus, bus.instance, None))
        return self._lent.lend(name, domain)


class _Watching:
    """A watcher's sensors, also after its restart."""

    def __init__(self, watchers: Watchers, name: str) -> None:
        self._watchers = watchers
        self._name = name

    def active(self) -> tuple[SensorState, ...]:
        sensing = self._watchers.sensing(self._name)
        return () if sensing is None else sensing.active()

    def recent(self) -> Sequence[Values]:
        sensing = self._watchers.sensing(self._name)
        return () if sensing is None else sensing.recent()


def say(ref: ActorRef[Any], name: str, prompt: str, timeout: float) -> OperatorMessage:
    """Ask an operator a question and wait for its answer; see `Operators.message`."""
    handle: RunHandle[OperatorMessage] = RunHandle(name)
    send(ref, Say(handle, prompt, timeout))
    try:
        return handle.result(timeout)
    except TimeoutError:
        handle.cancel()
        raise TimeoutError(f"{name} did not answer within {timeout:g} s") from None
    except BaseException:
        handle.cancel()
        raise


def ask_status(ref: ActorRef[Any]) -> AgentStatus | None:
    """How an operator is; ``None`` when it has ended, or does not answer within a second."""
    try:
        found = ref.ask(StatusRequest(), timeout=_STATUS)
    except (ActorError, TimeoutError):
        return None
    return found if isinstance(found, AgentStatus) else None
