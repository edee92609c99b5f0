"""`SubagentCoordinator`: runs subagents in batches, and leaves none behind, however it ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

from beamlens.agent.batch import Batch, Finish, Member, SubagentResult
from beamlens.agent.core import default_core
from beamlens.agent.registry import AgentKey
from beamlens.agent.subagents import SHUTDOWN, SubagentSpec, SubagentSupervisor, ending
from beamlens.errors import BeamlensError, ConfigError
from beamlens_actors import (
    Actor,
    ActorDead,
    ActorError,
    ActorRef,
    Down,
    ExitReason,
    Future,
    Shutdown,
    clock,
    current_actor,
)
from beamlens_supervision import SupervisionError

if TYPE_CHECKING:
    from beamlens.agent.core import AgentCore
    from beamlens.agent.limits import RunOutcome
    from beamlens.llm.client import LLMClient

DEFAULT_TIMEOUT = 300.0


@dataclass(frozen=True, slots=True)
class _Run:
    specs: tuple[SubagentSpec, ...]
    timeout: float
    finish: Finish
    caller: ActorRef[Any] | None
    answer: Future[list[SubagentResult]]


@dataclass(frozen=True, slots=True)
class _Ended:
    batch: int
    key: AgentKey
    outcome: RunOutcome


@dataclass(frozen=True, slots=True)
class _Deadline:
    batch: int


@dataclass(frozen=True, slots=True)
class _AbortAll:
    pass


@dataclass(frozen=True, slots=True)
class _ListActive:
    pass


class SubagentCoordinatorRef(ActorRef[Any]):
    """What `SubagentCoordinator.start` returns. Any number may call at the same time."""

    def run(
        self, specs: Iterable[SubagentSpec | str], timeout: float = DEFAULT_TIMEOUT, finish: Finish = "all"
    ) -> list[SubagentResult]:
        """Run subagents side by side and wait for them; none of them is left running when this returns.

        Args:
            specs: What they are to do; a text is the prompt of one.
            timeout: Seconds for all of them together, then those that still run are cancelled.
            finish: ``first``: when one has completed, the others are cancelled.

        Returns:
            One result each, in the order of `specs`.

        Raises:
            ConfigError: A value that cannot be.
            ActorDead: The coordinator ended; its subagents were cancelled.
        """
        wanted = tuple(SubagentSpec(spec) if isinstance(spec, str) else spec for spec in specs)
        _check(wanted, timeout, finish)
        answer: Future[list[SubagentResult]] = Future()
        # Its end fails the answer; the question is told, not asked, so that this is the only way to hear of it.
        forget = self.add_exit_callback(lambda _ref, _reason: _fail(answer))
        try:
            self.tell(_Run(wanted, timeout, finish, current_actor(), answer))
            return answer.get()
        finally:
            forget()

    def abort_all(self) -> None:
        """Cancel the subagents of all batches; fine when it has ended."""
        try:
            self.ask(_AbortAll())
        except ActorError:
            pass

    def list_active(self) -> list[AgentKey]:
        """Keys of the subagents that run, those that are being stopped included."""
        active: list[AgentKey] = self.ask(_ListActive())
        return active


class SubagentCoordinator(Actor):
    """Runs batches. It waits for nothing, so batches do not wait for each other."""

    _beamlens_ref_class = SubagentCoordinatorRef

    @classmethod
    def start(
        cls, session: str, client: LLMClient | None = None, *, core: AgentCore | None = None
    ) -> SubagentCoordinatorRef:
        """Start a coordinator.

        Args:
            session: The session that its subagents belong to.
            client: Who answers those that bring no client of their own.
            core: What they run on; by default the one that all agents of the process share.
        """
        launcher = cls.options(name=f"subagents:{session}")
        return cast("SubagentCoordinatorRef", launcher.start(core or default_core(), session, client))

    def __init__(self, core: AgentCore, session: str, client: LLMClient | None) -> None:
        super().__init__()
        self._subagents = SubagentSupervisor(core)
        self._session = session
        self._client = client
        self._batches: dict[int, Batch] = {}
        self._count = 0
        self._numbers: dict[str, int] = {}

    def on_start(self) -> None:
        """See to it that its subagents end with it, also when it is killed."""
        batches = self._batches
        self.actor_ref.add_exit_callback(lambda _ref, _reason: _abandon(batches))

    def on_terminate(self, reason: ExitReason) -> None:  # noqa: ARG002 - whatever it is
        """Once more, for what it was starting when it was killed."""
        _abandon(self._batches)

    def on_receive(self, message: Any) -> Any:
        """Requests of its ref, and what happens to subagents."""
        match message:
            case _Run():
                self._run(message)
            case _Ended():
                self._ended(message)
            case _Deadline(batch=number):
                if number in self._batches:
                    self._end(self._batches[number], "timeout", "the deadline of the batch came first")
            case _AbortAll():
                for batch in list(self._batches.values()):
                    self._end(batch, "aborted", "the batch was aborted")
            case _ListActive():
                return [m.key for batch in self._batches.values() for m in batch.members if not m.gone]
        return None

    def on_down(self, down: Down) -> None:
        """A subagent, or the caller of a batch, has ended."""
        for batch in list(self._batches.values()):
            if down.monitor == batch.owner:
                self._end(batch, "aborted", "the caller ended")
            for member in batch.members:
                if member.monitor == down.monitor:
                    member.gone = True
                    member.settle("error", f"the subagent ended: {ending(down.reason)}")
                    self._look(batch)

    # -- batches ---------------------------------------------------------------------------------------------

    def _run(self, request: _Run) -> None:
        self._count += 1
        members = [Member(self._key(spec.role), spec) for spec in request.specs]
        batch = Batch(self._count, members, request.finish, request.answer)
        self._batches[batch.number] = batch
        if request.caller is not None:
            batch.owner = self.monitor(request.caller)
        if request.timeout < math.inf:
            batch.timer = self.send_after(request.timeout, _Deadline(batch.number))
        for member in members:
            self._begin(batch.number, member)
        self._look(batch)

    def _key(self, role: str) -> AgentKey:
        number = self._numbers.get(role, 0)
        self._numbers[role] = number + 1
        return AgentKey(self._session, role, number)

    def _begin(self, number: int, member: Member) -> None:
        key, me = member.key, self.actor_ref

        def run_ended(outcome: RunOutcome) -> None:
            try:
                me.tell(_Ended(number, key, outcome))
            except ActorError:
                pass  # it has ended, and with it the subagent

        try:
            member.ref = self._subagents.start(key, member.spec, client=self._client, on_run_end=run_ended)
            member.monitor = self.monitor(member.ref)
            member.ref.prompt(member.spec.prompt)
        except (ActorError, SupervisionError, BeamlensError) as error:
            if member.ref is None:
                member.gone = True
            elif not member.ref.is_alive():
                return  # its Down says why
            member.settle("error", f"the subagent could not be started: {error}")
            _stop([member])

    def _ended(self, message: _Ended) -> None:
        batch = self._batches.get(message.batch)
        member = None if batch is None else next((m for m in batch.members if m.key == message.key), None)
        if batch is None or member is None:
            return
        outcome = message.outcome
        if outcome.stopped_by == "aborted":
            settled = member.settle("aborted", "the subagent was aborted", outcome)
        elif outcome.failed or outcome.stopped_by == "crashed":
            settled = member.settle("error", outcome.error or outcome.stopped_by, outcome)
        else:
            settled = member.settle("completed", outcome=outcome)
        if settled:
            _stop([member])
            self._look(batch)

    def _end(self, batch: Batch, status: Any, error: str) -> None:
        batch.settle_all(status, error)
        self._look(batch)

    def _look(self, batch: Batch) -> None:
        if not batch.closing and batch.settled():
            batch.settle_all("cancelled", "another one was first")
            batch.close(_stop)
        if batch.closing and batch.gone() and self._batches.pop(batch.number, None) is not None:
            if batch.owner is not None:
                self.demonitor(batch.owner)
            batch.answer.resolve(batch.results())


def _stop(members: Sequence[Member]) -> None:
    # Without waiting: its end comes as a Down, and its thread is abandoned if it does not.
    for member in members:
        if member.ref is None or not member.ref.is_alive():
            continue
        member.ref.stop(Shutdown(), block=False)
        timer = clock.call_later(SHUTDOWN, member.ref.kill)
        member.ref.add_exit_callback(lambda _ref, _reason, timer=timer: timer.cancel())  # type: ignore[misc]


def _abandon(batches: dict[int, Batch]) -> None:
    for batch in list(batches.values()):
        if batch.timer is not None:
            batch.timer.cancel()
        _stop(batch.members)


def _fail(answer: Future[list[SubagentResult]]) -> None:
    answer.fail(ActorDead("the coordinator has ended; its subagents were cancelled"))


def _check(specs: Sequence[SubagentSpec], timeout: object, finish: object) -> None:
    for spec in specs:
        if not isinstance(spec, SubagentSpec) or not spec.prompt:
            raise ConfigError(f"a spec is a SubagentSpec with a prompt, or a text, not {spec!r}", field="specs")
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not timeout > 0:
        raise ConfigError(f"timeout must be seconds above 0, not {timeout!r}", field="timeout")
    if finish not in get_args(Finish):
        raise ConfigError(f"finish must be one of {', '.join(get_args(Finish))}, not {finish!r}", field="finish")


__all__ = ["SubagentCoordinator", "SubagentCoordinatorRef"]
