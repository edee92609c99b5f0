"""What happens to a supervisor, as data, so that OTP's and ours can be put through the same.

A scenario is a supervisor with children and a list of steps. A step says how the next starts of some children turn out
(`ok`, `boom`, `ignore`), what happens while the first start that fails does so (children that end, calls that come),
and one action: a child's end or a call. What is seen of it: the replies, all starts and ends in their order, and the
children once nothing is being restarted.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from beamlens_actors import Actor, ActorDead, ActorRef, ExitReason, Future, Killed, Normal, Shutdown, current_actor
from beamlens_supervision import (
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    ChildSpec,
    ChildStartError,
    Ignore,
    InvalidChildSpec,
    Supervisor,
    SupervisorRef,
)
from beamlens_supervision.parent import Request

_SOURCE = Path(__file__).with_name("oracle.erl")
_LIMIT = 30.0

Seen: TypeAlias = list[Any]
"""Of one step: reply, replies of the calls that came while a start failed, starts and ends, children."""

REASONS = ("normal", "shutdown", "detail", "crash", "kill")


@dataclass(frozen=True)
class Spec:
    """A child."""

    id: str
    restart: Any
    shutdown: Any
    significant: bool

    def as_list(self) -> list[Any]:
        return [self.id, self.restart, self.shutdown, self.significant]


@dataclass(frozen=True)
class Step:
    """See the module."""

    action: tuple[Any, ...]
    outcomes: dict[str, list[str]] = field(default_factory=dict)
    ends: list[tuple[str, str]] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def as_list(self) -> list[Any]:
        calls = [_action(call) for call in self.calls]
        return [_pairs(self.outcomes), [[list(end) for end in self.ends], calls], _action(self.action)]


@dataclass(frozen=True)
class Scenario:
    """See the module. `outcomes` are those of the first starts."""

    strategy: Any
    intensity: int
    auto_shutdown: Any
    specs: list[Spec]
    outcomes: dict[str, list[str]]
    steps: list[Step]

    def as_list(self) -> list[Any]:
        return [
            self.strategy,
            self.intensity,
            self.auto_shutdown,
            [spec.as_list() for spec in self.specs],
            _pairs(self.outcomes),
            [step.as_list() for step in self.steps],
        ]


def _pairs(outcomes: dict[str, list[str]]) -> list[Any]:
    return [[name, list(following)] for name, following in outcomes.items()]


def _action(action: tuple[Any, ...]) -> list[Any]:
    return [part.as_list() if isinstance(part, Spec) else part for part in action]


# -- by chance -----------------------------------------------------------------------------------------------


class Chance:
    """Makes scenarios; the same from the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def scenario(self) -> Scenario:
        pick = self._random
        names = "abcde"[: pick.randint(1, 5)]
        auto_shutdown = pick.choice(["never", "never", "any_significant", "all_significant"])
        return Scenario(
            strategy=pick.choice(["one_for_one", "one_for_all", "rest_for_one"]),
            intensity=pick.choice([0, 1, 2, 3, 5, 20, 100]),
            auto_shutdown=auto_shutdown,
            specs=[self._spec(name, auto_shutdown) for name in names],
            outcomes=self._outcomes(names, ["boom", "ignore"], 0.03),
            steps=[self._step(names + "x", auto_shutdown) for _ in range(pick.randint(1, 12))],
        )

    def _spec(self, name: str, auto_shutdown: str, *, wrong: bool = False) -> Spec:
        pick = self._random
        restart = pick.choice(["permanent", "transient", "temporary"])
        allowed = wrong or (auto_shutdown != "never" and restart != "permanent")
        return Spec(name, restart, pick.choice([5000, 5000, "brutal_kill"]), allowed and pick.random() < 0.5)

    def _step(self, names: str, auto_shutdown: str) -> Step:
        pick = self._random
        hard = pick.random() < 0.4
        return Step(
            action=self._call(names, auto_shutdown) if pick.random() < 0.4 else ("end", *self._end(names)),
            outcomes=self._outcomes(names, ["boom", "boom", "boom", "ok", "ignore"], 0.5) if hard else {},
            ends=[self._end(names) for _ in range(pick.choice([0, 0, 1, 2]))] if hard else [],
            calls=[self._call(names, auto_shutdown) for _ in range(pick.choice([0, 0, 1, 2, 3]))] if hard else [],
        )

    def _end(self, names: str) -> tuple[str, str]:
        return self._random.choice(names), self._random.choice(REASONS)

    def _call(self, names: str, auto_shutdown: str) -> tuple[Any, ...]:
        kind, name = self._random.choice(["start", "terminate", "restart", "delete"]), self._random.choice(names)
        if kind == "start":
            return kind, self._spec(name, auto_shutdown, wrong=self._random.random() < 0.1)
        return kind, name

    def _outcomes(self, names: str, choices: list[str], chance: float) -> dict[str, list[str]]:
        pick = self._random
        chosen = [name for name in names if pick.random() < chance]
        return {name: [pick.choice(choices) for _ in range(pick.randint(1, 3))] for name in chosen}


# -- OTP -----------------------------------------------------------------------------------------------------


class Otp:
    """One Erlang VM for many scenarios."""

    def __init__(self, erl: str) -> None:
        load = (
            f"{{ok, Module, Code}} = compile:file({json.dumps(str(_SOURCE))}, [binary, report]), "
            "code:load_binary(Module, [], Code), Module:serve()."
        )
        self._vm = subprocess.Popen(
            [erl, "+S", "1", "-noshell", "-eval", load], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._vm.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._vm.kill()
            self._vm.communicate()

    def run(self, scenarios: Iterable[Scenario]) -> Iterator[list[Seen]]:
        """What OTP does in each."""
        assert self._vm.stdin is not None
        assert self._vm.stdout is not None
        for scenario in scenarios:
            self._vm.stdin.write(_term(scenario.as_list()) + "\n")
            self._vm.stdin.flush()
            line = self._vm.stdout.readline()
            if not line.startswith("["):
                raise RuntimeError(f"the Erlang VM said {line + self._vm.stdout.read()!r} to {scenario}")
            yield json.loads(re.sub(r"'?([a-z_]+)'?", r'"\1"', line))


def _term(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_term, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)


# -- ours ----------------------------------------------------------------------------------------------------

_REPLIES: dict[type[Exception], str] = {
    ActorDead: "dead",
    AlreadyPresent: "already_present",
    AlreadyStarted: "already_started",
    ChildNotFound: "not_found",
    ChildRestarting: "restarting",
    ChildRunning: "running",
    ChildStartError: "boom",
    InvalidChildSpec: "invalid",
}
_ENDS: dict[str, ExitReason] = {"normal": Normal(), "shutdown": Shutdown(), "detail": Shutdown("detail")}


class _Child(Actor):
    def __init__(self, name: str, journal: list[Any]) -> None:
        super().__init__()
        self.name = name
        self.journal = journal

    def on_start(self) -> None:
        self.journal.append(["start", self.name])

    def on_receive(self, message: Any) -> Any:
        raise RuntimeError("meant")

    def on_terminate(self, reason: ExitReason) -> None:
        if not isinstance(reason, Killed):
            self.journal.append(["end", self.name])


class Ours:
    """The same scenario on a `Supervisor`, on the default backend."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._journal: list[Any] = []
        self._refs: dict[str, ActorRef[Any]] = {}
        self._plan(Step((), scenario.outcomes))

    def _plan(self, step: Step) -> None:
        self._outcomes = {name: list(following) for name, following in step.outcomes.items()}
        self._during: Step | None = step
        self._answers: list[Future[Any] | str] = []

    def run(self) -> list[Seen]:
        """What ours does."""
        scenario = self._scenario
        try:
            sup = Supervisor.start(
                [self._spec(spec) for spec in scenario.specs],
                strategy=scenario.strategy,
                max_restarts=scenario.intensity,
                max_seconds=3600.0,
                auto_shutdown=scenario.auto_shutdown,
            )
        except ChildStartError as error:
            return [[["failed", error.child_id], [], self._journal, ["down", "shutdown"]]]
        seen = [self._seen("ok", sup)]
        for step in scenario.steps:
            if seen[-1][3][0] == "down":
                return seen
            self._plan(step)
            seen.append(self._seen(self._act(sup, step.action), sup))
        if seen[-1][3][0] == "up":
            sup.stop(timeout=_LIMIT)
            seen.append(["ok", [], self._take_journal(), ["down", _reason(sup)]])
        return seen

    def _seen(self, reply: str, sup: SupervisorRef) -> Seen:
        self._children(sup)
        # Now what came while a start failed is in the mailbox; it need not be through.
        replies = [_replied(answer) for answer in self._answers]
        children = self._children(sup)
        return [reply, replies, self._take_journal(), children]

    def _take_journal(self) -> list[Any]:
        taken = list(self._journal)
        self._journal.clear()
        return taken

    def _children(self, sup: SupervisorRef) -> list[Any]:
        try:
            while True:
                children = [[info.id, info.state] for info in sup.which_children(timeout=_LIMIT)]
                if not any(state == "restarting" for _, state in children):
                    return ["up", children]
        except ActorDead:
            return ["down", _reason(sup)]

    def _spec(self, spec: Spec) -> ChildSpec:
        shutdown = spec.shutdown if spec.shutdown == "brutal_kill" else spec.shutdown / 1000
        return ChildSpec(
            spec.id, self._start, (spec.id,), restart=spec.restart, shutdown=shutdown, significant=spec.significant
        )

    def _start(self, name: str) -> Any:
        following = self._outcomes.get(name)
        outcome = following.pop(0) if following else "ok"
        if outcome == "ok":
            self._refs[name] = ref = _Child.start(name, self._journal)
            return ref
        self._journal.append([outcome, name])
        if outcome == "ignore":
            return Ignore
        during, self._during = self._during, None
        if during is not None:
            for ended, reason in during.ends:
                self._end(ended, reason)
            self._answers.extend(self._call_later(call) for call in during.calls)
        raise RuntimeError("boom")

    def _call_later(self, call: tuple[Any, ...]) -> Future[Any] | str:
        sup = current_actor()
        assert sup is not None
        kind, argument = call
        try:
            asked = Request(f"{kind}_child", (self._spec(argument) if kind == "start" else argument,))
        except InvalidChildSpec:
            return "invalid"
        return sup.ask(asked, block=False)

    def _act(self, sup: SupervisorRef, action: tuple[Any, ...]) -> str:
        kind, *arguments = action
        if kind == "end":
            self._end(*arguments)
            return "ok"
        try:
            argument = self._spec(arguments[0]) if kind == "start" else arguments[0]
            getattr(sup, f"{kind}_child")(argument, timeout=_LIMIT)
        except tuple(_REPLIES) as error:
            return _REPLIES[type(error)]
        return "ok"

    def _end(self, name: str, reason: str) -> None:
        ref = self._refs.get(name)
        if ref is None or not ref.is_alive():
            return
        if reason == "kill":
            ref.kill()
        elif reason == "crash":
            ref.tell("crash")
        else:
            ref.stop(_ENDS[reason], block=False)
        ref.join(_LIMIT)


def _replied(answer: Future[Any] | str) -> str:
    if isinstance(answer, str):
        return answer
    try:
        answer.get(timeout=_LIMIT)
    except tuple(_REPLIES) as error:
        return _REPLIES[type(error)]
    return "ok"


def _reason(sup: SupervisorRef) -> str:
    reason = sup.join(_LIMIT)
    return "shutdown" if reason == Shutdown() else repr(reason)
