"""The operator: looks into a domain when asked, one run after the other. Idle until then, and costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from beamlens.agent.compaction import CompactionPolicy
from beamlens.agent.limits import Limits
from beamlens.agent.supervised import GRACE
from beamlens.domains.domain import Domain
from beamlens.errors import BeamlensError, Cancelled, ConfigError, LLMError
from beamlens.findings import AgentStatus, OperatorMessage, RunHandle, StatusRequest
from beamlens.operator.lending import Lender, alone
from beamlens.operator.queue import RunQueue
from beamlens.operator.requests import (
    MAX_ITERATIONS,
    Invoke,
    Notify,
    OperatorComplete,
    OperatorNotification,
    Say,
)
from beamlens_actors import Aborted, Actor, ActorError, ActorRef, ExitReason, clock
from beamlens_actors.words import in_words
from beamlens_supervision import ChildSpec, SupervisionError

if TYPE_CHECKING:
    from beamlens.agent.services import Services
    from beamlens.findings import Health, OperatorResult
    from beamlens.llm.client import LLMClient
    from beamlens.operator.run import OperatorRun
    from beamlens.operator.speech import Memory
    from beamlens_actors import Registry

_MOST_SPEAKING = 16
_TOLD_WITHIN = 5.0


class _RunEnded:
    def __init__(self, request: Invoke, result: OperatorResult | None, memory: Memory | None) -> None:
        self.request = request
        self.result = result
        self.memory = memory


class _SpokenTo:
    pass


class OperatorActor(Actor):
    """Looks into one domain, when asked, and answers whoever asked.

    It never blocks: runs and answers are tasks, so ``status`` is answered at once. Runs are done one after the other in
    the order they were asked for (`Invoke`). What is asked with `Say` is answered meanwhile.
    """

    def __init__(
        self,
        services: Services,
        domain: Domain | Lender,
        *,
        name: str | None = None,
        client: LLMClient | None = None,
        start_loop: bool = False,
        context: Mapping[str, Any] | None = None,
        max_iterations: int = MAX_ITERATIONS,
        compaction_max_tokens: int | None = None,
        compaction_keep_last: int | None = None,
        notify: ActorRef[Any] | Notify | None = None,
        once: bool = False,
    ) -> None:
        """Make an operator.

        Args:
            services: The instance.
            domain: What it looks at, or what lends it for each run.
            name: Its name; by default the domain's.
            client: Who answers where a run does not say; by default the instance's primary client.
            start_loop: Whether a run begins with its start.
            context: What that run is told.
            max_iterations: Most model calls of a run that does not say.
            compaction_max_tokens: See `CompactionPolicy`; by default the instance's.
            compaction_keep_last: See `CompactionPolicy`; by default the instance's.
            notify: Is told of each finding (`OperatorNotification`) and of the end of each run (`OperatorComplete`): an
                actor's ref, or a callable, which is called on the run's own threads.
            once: Whether it ends once there is nothing to do.

        Raises:
            ConfigError: An argument is wrong; names it.
        """
        super().__init__()
        self._lender = alone(domain) if isinstance(domain, Domain) else domain
        self._name = _name(name or (domain.name if isinstance(domain, Domain) else ""))
        if not callable(self._lender):
            raise ConfigError(f"domain must be a Domain or a function that lends one, not {domain!r}", field="domain")
        Limits(max_iterations=max_iterations)
        self._services = _compacting(services, compaction_max_tokens, compaction_keep_last)
        self._client = client
        self._max_iterations = max_iterations
        self._notify = _notifier(notify)
        self._first = dict(context or {}) if start_loop else None
        self._once = once
        self._queue = RunQueue()
        self._run: OperatorRun | None = None
        self._memory: Memory | None = None
        self._last: OperatorResult | None = None
        self._runs = 0
        self._found = 0
        self._speaking = 0
        self._told = "idle"

    @classmethod
    def child_spec(
        cls,
        services: Services,
        domain: Domain | Lender,
        *,
        registry: Registry,
        name: str | None = None,
        restart: Any = "permanent",
        **options: Any,
    ) -> ChildSpec:
        """How a supervisor starts one, registered in `registry` under ``("operator", name)``; see ``__init__``."""
        known = _name(name or (domain.name if isinstance(domain, Domain) else ""))
        launcher = cls.options(name=f"operator:{known}", register=(registry, ("operator", known)))
        arguments = {"name": known, **options}
        return ChildSpec(known, launcher.start, (services, domain), arguments, restart=restart, shutdown=1.0)

    def on_start(self) -> None:
        """Tell that it is there; with ``start_loop`` begin."""
        # Also when it crashes or is killed, which runs no hook in time: nothing of it may go on, nobody may wait.
        self.actor_ref.add_exit_callback(self._ended)
        self._emit("started")
        if self._first is not None:
            self._accept(Invoke(RunHandle(self._name), self._first))

    def on_receive(self, message: Any) -> Any:
        """Answer ``status``; take runs and questions; hear of their ends."""
        match message:
            case StatusRequest():
                return self._status()
            case Invoke():
                self._accept(message)
            case Say():
                self._say(message)
            case _RunEnded():
                self._run_ended(message)
            case _SpokenTo():
                self._speaking -= 1
                self._stop_if_done()
            case _:
                self._emit("unexpected_message", message=repr(message)[:200])
        return None

    def on_terminate(self, reason: ExitReason) -> None:
        """Tell that it ends; what it held ends with it."""
        self._emit("stopped", reason=repr(reason))

    def _ended(self, _ref: ActorRef[Any], reason: ExitReason) -> None:
        error = Cancelled(f"the operator {self._name} ended: {reason!r}")
        run = self._run
        for request in self._queue.close():
            report = run.so_far("cancelled", error) if run is not None and run.request is request else None
            request.handle.abort.abort("the operator ended")
            request.handle.fail(error, report)

    def _emit(self, name: str, **metadata: Any) -> None:
        self._services.bus.emit(f"operator.{name}", self._name, **metadata)

    def _status(self) -> AgentStatus:
        run, last = self._run, self._last
        found = run.found if run is not None else None
        state: Health = "healthy" if last is None else last.state
        model, iteration = ("", 0) if last is None else (last.model, last.iterations)
        if run is not None:
            state, model = ("healthy", "") if found is None else (found.health, found.model())
            iteration = run.iteration
        return AgentStatus(
            name=self._name,
            kind="operator",
            state=state,
            iteration=iteration,
            running=run is not None,
            runs=self._runs,
            alerts=self._found + (0 if found is None else found.fired),
            active_sensors=() if run is None else tuple(sensor.name for sensor in run.senses.active()),
            stopped_by="" if last is None else last.stopped_by,
            model=model,
            queued=len(self._queue),
        )

    # -- runs ------------------------------------------------------------------------------------------------

    def _accept(self, request: Invoke) -> None:
        try:
            self._queue.put(request)
        except BeamlensError as error:
            refused = error
            self._in_a_task(lambda: request.handle.fail(refused), "refusal", lambda: request.handle.fail(refused))
            return
        request.accepted()
        self._next()

    def _next(self) -> None:
        request = self._queue.next()
        if request is None:
            self._stop_if_done()
            return
        # Here and not at the top: an operator that is never asked needs none of it.
        from beamlens.operator.run import OperatorRun

        run = OperatorRun(
            self._services,
            self._name,
            self._lender,
            request,
            client=request.client or self._client,
            max_iterations=request.max_iterations or self._max_iterations,
            on_notification=lambda alert: self._tell_notify(OperatorNotification(self._name, request.handle.id, alert)),
        )
        self._run = run
        self._tell_status()
        self._in_a_task(lambda: self._do(run), "run", lambda: self._lost(run))

    def _do(self, run: OperatorRun) -> None:
        """The body of a run's task."""
        handle = run.request.handle
        result, error = run.run()
        # First the operator knows, then whoever asked: its status is that after the run.
        try:
            self.actor_ref.ask(_RunEnded(run.request, result, run.memory()), timeout=_TOLD_WITHIN)
        except (ActorError, TimeoutError):
            pass  # it has ended meanwhile
        if error is None:
            handle.finish(list(result.alerts), result)
        else:
            handle.fail(error, result)
        self._tell_notify(OperatorComplete(self._name, handle.id, result))

    def _lost(self, run: OperatorRun) -> None:
        """Its task has ended, in whatever way: after `_do` there is nothing left to do."""
        request = run.request
        error = Cancelled(f"the task of a run of {self._name} was ended from outside")
        result = run.so_far("cancelled", error)
        if request.handle.fail(error, result):
            request.handle.abort.abort("its task ended")
            run.give_back()
            self._tell_notify(OperatorComplete(self._name, request.handle.id, result))
        self._tell(_RunEnded(request, result, run.memory()))

    def _run_ended(self, message: _RunEnded) -> None:
        if not self._queue.ended(message.request):
            return
        result = message.result
        self._run = None
        self._runs += 1
        self._last = result
        self._memory = message.memory or self._memory
        if result is not None:
            self._found += len(result.alerts)
        self._next()
        self._tell_status()

    def _tell_status(self) -> None:
        now = "idle" if self._run is None else "running"
        if now != self._told:
            self._emit("status_change", from_status=self._told, to_status=now)
            self._told = now

    def _stop_if_done(self) -> None:
        if self._once and self._run is None and not self._speaking:
            self.stop()

    # -- questions -------------------------------------------------------------------------------------------

    def _say(self, message: Say) -> None:
        handle = message.handle
        if self._speaking >= _MOST_SPEAKING:
            error = BeamlensError(f"the operator {self._name} answers {_MOST_SPEAKING} questions already, the most")
            self._in_a_task(lambda: handle.fail(error), "refusal", lambda: handle.fail(error))
            return
        message.accepted()
        self._speaking += 1
        run, memory = self._run, self._memory
        iteration = 0 if run is None else run.iteration

        def ended() -> None:
            handle.fail(Cancelled(f"the task of an answer of {self._name} was ended from outside"))
            self._tell(_SpokenTo())

        self._in_a_task(lambda: self._answer(message, run, memory, iteration), "answer", ended)

    def _answer(self, message: Say, run: OperatorRun | None, memory: Memory | None, iteration: int) -> None:
        """The body of an answer's task."""
        from beamlens.operator import speech

        handle = message.handle
        abort = handle.abort
        timer = clock.call_later(message.timeout, lambda: abort.abort("nobody waits any more"))
        forget = self.actor_ref.add_exit_callback(lambda _ref, _reason: abort.abort("the operator ended"))
        try:
            if not handle.begin():
                return
            known = (run.memory() if run is not None else None) or memory
            if known is None:
                known = speech.glance(self._services, self._name, self._lender, abort)
            words = speech.answer(
                self._services,
                self._name,
                known,
                message.prompt,
                running=run is not None,
                client=self._client,
                abort=abort,
            )
            handle.finish(OperatorMessage(self._name, known.facts["state"], iteration, words))
        except Aborted:
            handle.fail(Cancelled(f"the question to {self._name} was given up: {abort.reason}"))
        except (BeamlensError, TimeoutError) as error:
            handle.fail(error)
        except Exception as error:  # noqa: BLE001 - a domain is foreign code
            handle.fail(LLMError(f"{self._name} could not answer: {error!r}", kind="response", retryable=False))
        finally:
            forget()
            timer.cancel()

    # -- tasks -----------------------------------------------------------------------------------------------

    def _in_a_task(self, fn: Callable[[], object], what: str, ended: Callable[[], object]) -> None:
        """Run `fn` in a loop task; `ended` is called however it ends. A supervisor that restarts is waited for."""
        try:
            task = self._services.loop_tasks().run_nolink(fn, name=f"{self._name}:{what}", shutdown=GRACE)
        except (ActorError, SupervisionError):
            clock.call_later(1.0, ended)
        else:
            task.add_done_callback(lambda _task: ended())

    def _tell(self, message: object) -> None:
        try:
            self.actor_ref.tell(message)
        except ActorError:
            pass  # it has ended meanwhile

    def _tell_notify(self, message: OperatorNotification | OperatorComplete) -> None:
        try:
            self._notify(message)
        except Exception as error:  # noqa: BLE001 - foreign code
            self._emit("notify_failed", reason=in_words(error), trust="untrusted")


def _name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise ConfigError(f"name must be a text that is not empty, not {name!r}", field="name")
    return name


def _compacting(services: Services, max_tokens: int | None, keep_last: int | None) -> Services:
    if max_tokens is None and keep_last is None:
        return services
    policy = services.compaction
    return replace(
        services,
        compaction=CompactionPolicy(
            policy.max_tokens if max_tokens is None else max_tokens,
            policy.keep_last if keep_last is None else keep_last,
        ),
    )


def _notifier(notify: ActorRef[Any] | Notify | None) -> Notify:
    if notify is None:
        return lambda _message: None
    if isinstance(notify, ActorRef):
        return notify.tell
    if not callable(notify):
        raise ConfigError(f"notify must be the ref of an actor or a callable, not {notify!r}", field="notify")
    return notify
