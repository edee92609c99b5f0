"""A supervisor against a small model of OTP's rules, under random orders of what may happen.

The model was written from the rules, not from the code: what a supervisor says of its children after each step, in
which order they started and ended, which calls it refuses, and when it ends itself. `BEAMLENS_MODEL_EXAMPLES` chooses
how many orders are tried.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from beamlens_actors import Actor, ActorDead, ActorRef, ExitReason, Killed, Normal, Shutdown
from beamlens_actors.testing import FakeClock
from beamlens_supervision import (
    AlreadyPresent,
    AlreadyStarted,
    ChildCounts,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    ChildSpec,
    ChildStartError,
    Ignore,
    InvalidChildSpec,
    Supervisor,
)
from tests.supervision.helpers import LIMIT

NAMES = "abcd"
PERIOD = 10.0
BACKOFF = 4.0
EXAMPLES = int(os.environ.get("BEAMLENS_MODEL_EXAMPLES", "150"))

names = st.sampled_from(NAMES)
reasons = st.sampled_from([Normal(), Shutdown(), Shutdown("detail"), "crash", "kill"])


@dataclass(frozen=True)
class Plan:
    """What a child is to be."""

    restart: Any
    significant: bool
    backoff: float | None


plans = st.builds(
    Plan,
    st.sampled_from(["permanent", "transient", "temporary"]),
    st.booleans(),
    st.sampled_from([None, None, BACKOFF]),
)


# -- the model -----------------------------------------------------------------------------------------------


@dataclass
class Member:
    plan: Plan
    state: str = "stopped"
    due: float = 0.0
    """When its restart is tried, if it is restarting."""


class Refused(Exception):
    """With the class of the error as its argument."""


class Model:
    """A supervisor as the rules describe it. `log` is what its children would write."""

    def __init__(self, strategy: str, max_restarts: int, auto_shutdown: str) -> None:
        self.strategy = strategy
        self.max_restarts = max_restarts
        self.auto_shutdown = auto_shutdown
        self.members: dict[str, Member] = {}
        self.restarts: list[float] = []
        self.failing: dict[str, deque[str]] = {}
        self.now = 0.0
        self.alive = True
        self.log: list[str] = []

    # What an administration call does.

    def start(self, name: str, plan: Plan) -> None:
        if plan.significant and (plan.restart == "permanent" or self.auto_shutdown == "never"):
            raise Refused(InvalidChildSpec)
        if name in self.members:
            raise Refused(AlreadyStarted if self.members[name].state == "running" else AlreadyPresent)
        self.members[name] = Member(plan)
        if not self._run(name):
            del self.members[name]
            raise Refused(ChildStartError)
        self._forget_if_temporary(name)

    def terminate(self, name: str) -> None:
        self._known(name)
        self._stop(name)
        self._forget_if_temporary(name)

    def restart(self, name: str) -> None:
        self._stopped(name)
        if not self._run(name):
            raise Refused(ChildStartError)

    def delete(self, name: str) -> None:
        self._stopped(name)
        del self.members[name]

    def _known(self, name: str) -> Member:
        if name not in self.members:
            raise Refused(ChildNotFound)
        return self.members[name]

    def _stopped(self, name: str) -> None:
        state = self._known(name).state
        if state != "stopped":
            raise Refused(ChildRunning if state == "running" else ChildRestarting)

    # What happens by itself.

    def ended(self, name: str, reason: Any) -> None:
        """A child ended by itself."""
        member = self.members[name]
        member.state = "stopped"
        if reason != "kill":
            self.log.append(f"-{name}")
        abnormal = reason in ("crash", "kill")
        if member.plan.restart == "permanent" or (member.plan.restart == "transient" and abnormal):
            self._restart(name)
            return
        self._forget_if_temporary(name)
        others = [other for other in self.members.values() if other.plan.significant and other.state != "stopped"]
        if member.plan.significant and (self.auto_shutdown == "any_significant" or not others):
            self._end()

    def pass_time(self, seconds: float) -> None:
        """Restarts that were put off are tried when they are due, in their order."""
        until = self.now + seconds
        while self.alive:
            due = [(member.due, name) for name, member in self.members.items() if member.state == "restarting"]
            if not due or min(due)[0] > until:
                break
            self.now, name = min(due)
            self._attempt(name)
        self.now = until

    def _restart(self, name: str) -> None:
        self.restarts = [at for at in self.restarts if at >= self.now - PERIOD] + [self.now]
        if len(self.restarts) > self.max_restarts:
            self._end()
        elif self.members[name].plan.backoff:
            self._stop_group(name)
            self.members[name].state = "restarting"
            self.members[name].due = self.now + BACKOFF
        else:
            self._attempt(name)

    def _attempt(self, name: str) -> None:
        for each in self._stop_group(name):
            if not self._run(each):
                self._restart(each)
                return

    def _group(self, name: str) -> list[str]:
        known = list(self.members)
        if self.strategy == "one_for_one":
            return [name]
        return known if self.strategy == "one_for_all" else known[known.index(name) :]

    def _stop_group(self, name: str) -> list[str]:
        group = self._group(name)
        for each in reversed(group):
            self._stop(each)
            if each != name:
                self._forget_if_temporary(each)
        return [each for each in group if each in self.members]

    def _run(self, name: str) -> bool:
        following = self.failing.get(name)
        outcome = following.popleft() if following else "+"
        self.log.append(f"{outcome}{name}")
        if outcome == "!":
            return False
        self.members[name].state = "running" if outcome == "+" else "stopped"
        return True

    def _stop(self, name: str) -> None:
        if self.members[name].state == "running":
            self.log.append(f"-{name}")
        self.members[name].state = "stopped"

    def _forget_if_temporary(self, name: str) -> None:
        member = self.members[name]
        if member.plan.restart == "temporary" and member.state == "stopped":
            del self.members[name]

    def _end(self) -> None:
        self.alive = False
        for name in reversed(self.members):
            self._stop(name)


# -- the supervisor ------------------------------------------------------------------------------------------


class Child(Actor):
    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__()
        self.name = name
        self.log = log

    def on_receive(self, message: Any) -> Any:
        raise RuntimeError("meant")

    def on_terminate(self, reason: ExitReason) -> None:
        if not isinstance(reason, Killed):
            self.log.append(f"-{self.name}")


class SupervisorAgainstModel(RuleBasedStateMachine):
    """Each step is done to both; then both must say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.clock.__enter__()
        self.log: list[str] = []
        self.failing: dict[str, deque[str]] = {}
        self.refs: dict[str, ActorRef[Any]] = {}
        self.sup: Any = None

    @initialize(
        strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
        max_restarts=st.sampled_from([0, 1, 2, 3, 50]),
        auto_shutdown=st.sampled_from(["never", "any_significant", "all_significant"]),
        first=st.dictionaries(names, plans),
    )
    def start(self, strategy: Any, max_restarts: int, auto_shutdown: Any, first: dict[str, Plan]) -> None:
        self.model = Model(strategy, max_restarts, auto_shutdown)
        self.sup = Supervisor.start(
            strategy=strategy, max_restarts=max_restarts, max_seconds=PERIOD, auto_shutdown=auto_shutdown
        )
        for name, plan in first.items():
            self.start_child(name, plan)

    @precondition(lambda self: self.model.alive)
    @rule(name=names, outcomes=st.lists(st.sampled_from("!!~+"), min_size=1, max_size=3))
    def let_starts_fail(self, name: str, outcomes: list[str]) -> None:
        self.failing[name], self.model.failing[name] = deque(outcomes), deque(outcomes)

    @precondition(lambda self: self.model.alive)
    @rule(name=names, plan=plans)
    def start_child(self, name: str, plan: Plan) -> None:
        self._same(lambda: self.model.start(name, plan), lambda: self.sup.start_child(self._spec(name, plan)))

    @precondition(lambda self: self.model.alive)
    @rule(name=names)
    def terminate_child(self, name: str) -> None:
        self._same(lambda: self.model.terminate(name), lambda: self.sup.terminate_child(name))

    @precondition(lambda self: self.model.alive)
    @rule(name=names)
    def restart_child(self, name: str) -> None:
        self._same(lambda: self.model.restart(name), lambda: self.sup.restart_child(name))

    @precondition(lambda self: self.model.alive)
    @rule(name=names)
    def delete_child(self, name: str) -> None:
        self._same(lambda: self.model.delete(name), lambda: self.sup.delete_child(name))

    @precondition(lambda self: self._running())
    @rule(data=st.data(), reason=reasons)
    def end(self, data: Any, reason: Any) -> None:
        name = data.draw(st.sampled_from(self._running()))
        self.model.ended(name, reason)
        ref = self.refs[name]
        if reason == "kill":
            ref.kill()
        elif reason == "crash":
            ref.tell("crash")
        else:
            ref.stop(reason, block=False)
        ref.join(LIMIT)

    @precondition(lambda self: self.model.alive)
    @rule(seconds=st.sampled_from([1.0, BACKOFF, PERIOD + 0.5]))
    def pass_time(self, seconds: float) -> None:
        # Not past a restart: it must be through before the next one is due, as it is in the model.
        for _ in range(round(seconds / 0.5)):
            self.model.pass_time(0.5)
            self.clock.advance(0.5)
            self._settle()

    @precondition(lambda self: not self.model.alive)
    @rule(name=names)
    def whoever_asks_one_that_has_ended_is_told(self, name: str) -> None:
        for call in (self.sup.terminate_child, self.sup.restart_child, self.sup.delete_child, self.sup.child):
            with pytest.raises(ActorDead):
                call(name)

    @invariant()
    def both_say_the_same(self) -> None:
        if self.sup is None:
            return
        shown = self._settle()
        assert self.log == self.model.log
        if shown is None:
            assert not self.model.alive
            assert self.sup.join(LIMIT) == Shutdown()
            assert not any(ref.is_alive() for ref in self.refs.values())
            return
        members = self.model.members
        assert self.model.alive
        assert {info.id: info.state for info in shown} == {name: member.state for name, member in members.items()}
        assert [info.id for info in shown] == list(members)
        assert {info.id: info.ref for info in shown if info.ref} == {name: self.refs[name] for name in self._running()}
        running = len(self._running())
        assert self.sup.count_children() == ChildCounts(len(members), running, 0, len(members))
        for name in NAMES:
            assert self.sup.child(name) is (self.refs[name] if name in self._running() else None)

    def teardown(self) -> None:
        try:
            if self.sup is not None:
                self.sup.stop(timeout=LIMIT)
                assert not any(ref.is_alive() for ref in self.refs.values())
                if self.model.alive:
                    self.model._end()
                assert self.log == self.model.log
        finally:
            self.clock.__exit__(None, None, None)

    def _running(self) -> list[str]:
        if self.sup is None or not self.model.alive:
            return []
        return [name for name, member in self.model.members.items() if member.state == "running"]

    def _spec(self, name: str, plan: Plan) -> ChildSpec:
        return ChildSpec(
            name, self._start, (name,), restart=plan.restart, significant=plan.significant, backoff=plan.backoff
        )

    def _start(self, name: str) -> Any:
        following = self.failing.get(name)
        outcome = following.popleft() if following else "+"
        self.log.append(f"{outcome}{name}")
        if outcome == "!":
            raise RuntimeError("meant")
        if outcome == "~":
            return Ignore
        self.refs[name] = ref = Child.start(name, self.log)
        return ref

    def _same(self, expected: Any, call: Any) -> None:
        try:
            expected()
        except Refused as refused:
            with pytest.raises(Exception) as caught:  # noqa: PT011 - its class is what is compared
                call()
            assert caught.type is refused.args[0]
        else:
            call()

    def _settle(self) -> Any:
        """The children once no restart goes on but those that wait for their time; `None` when it has ended."""
        before = None
        while True:
            try:
                shown = self.sup.which_children(timeout=None)
            except ActorDead:
                return None
            # One that failed and is tried again is through when two looks, with its retry between them, agree.
            looked = (list(self.log), shown)
            if looked == before:
                return shown
            before = looked


def test_a_supervisor_does_what_its_model_does(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    run_state_machine_as_test(
        SupervisorAgainstModel,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
