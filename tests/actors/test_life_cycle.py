"""The life of actors, from start to end in every order, against a model of OTP's rules."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pykka
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule, run_state_machine_as_test

from beamlens_actors import (
    ActorDead,
    ActorRef,
    AlreadyRegistered,
    Crash,
    Down,
    Exit,
    ExitReason,
    Future,
    Killed,
    Monitor,
    NoProcess,
    Normal,
    Registry,
    Shutdown,
    StartTimeout,
    StopTimeout,
    monitor,
    offload,
)
from beamlens_actors.backends import BACKENDS
from tests.actors.helpers import LIMIT, Recorder, Refused, busy, gone


class Subject(Recorder):
    """Writes down also what it is told of others."""

    def __init__(self, begin: Any = None, refs: list[Any] | None = None) -> None:
        super().__init__()
        self.begin = begin
        self.ended = threading.Event()
        self.actor_ref.log, self.actor_ref.ended = self.log, self.ended  # type: ignore[attr-defined]
        if refs is not None:
            refs.append(self.actor_ref)

    def on_start(self) -> None:
        super().on_start()
        if self.begin is not None:
            self.begin()

    def on_down(self, down: Down) -> None:
        self.log.append(down)

    def on_exit(self, exit: Exit) -> None:  # noqa: A002
        self.log.append(exit)

    def on_terminate(self, reason: ExitReason) -> None:
        super().on_terminate(reason)
        self.ended.set()


@dataclass(eq=False)
class Model:
    """What is expected of one actor."""

    ref: ActorRef[Any]
    key: int
    log: list[Any] = field(default_factory=list)
    """Everything it is to write down, in any order within a step."""
    hooks: list[Any] = field(default_factory=list)
    """What is to come last in its log, in order."""
    reason: ExitReason | None = None
    trap: bool = False
    gate: threading.Event | None = None
    """Set while it sits in a handler."""
    question: Future[Any] | None = None
    """The one it sits in."""
    signals: list[tuple[Any, ...]] = field(default_factory=list)
    """What waits meanwhile, to be read first."""
    backlog: list[tuple[Any, Future[Any] | None]] = field(default_factory=list)
    links: set[Model] = field(default_factory=set)
    watchers: dict[Monitor, Model] = field(default_factory=dict)
    monitored: dict[Monitor, Model] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        return self.reason is None

    @property
    def idle(self) -> bool:
        return self.reason is None and self.gate is None


REASONS = st.sampled_from([Normal(), Shutdown(), Shutdown("why"), Crash(Refused("sent")), Killed()])


class LifeCycle(RuleBasedStateMachine):
    """Each rule does one thing to the actors and to the model, waits until all has come to rest, and compares."""

    actors: Bundle[Model] = Bundle("actors")
    monitors: Bundle[tuple[Model, Monitor]] = Bundle("monitors")

    def __init__(self, backend: str) -> None:
        super().__init__()
        self.backend = backend
        self.registry = Registry()
        self.all: list[Model] = []
        self.zombies: list[Model] = []

    # -- the model -------------------------------------------------------------------------------------------

    def signal(self, model: Model, *signal: Any) -> None:
        if model.gate is not None:
            model.signals.append(signal)
        elif model.alive:
            self.obey(model, *signal)

    def obey(self, model: Model, kind: str, *about: Any) -> None:
        if kind == "stop":
            self.die(model, about[0])
        elif kind == "down":
            handle, down = about
            if model.monitored.pop(handle, None) is not None:
                model.log.append(down)
        elif kind == "exit":
            self.exit_signal(model, *about)
        elif about[1] in model.links:
            model.links.discard(about[1])
            self.exit_signal(model, *about)

    def exit_signal(self, model: Model, reason: ExitReason, sender: Model | None) -> None:
        if model.trap:
            model.log.append(Exit(None if sender is None else sender.ref, reason))
        elif reason != Normal() or sender is model:
            self.die(model, reason)

    def die(self, model: Model, reason: ExitReason, hook: Any = "on_stop") -> None:
        model.reason = reason
        model.hooks = ([] if hook is None or reason == Killed() else [hook]) + [("terminate", reason)]
        model.gate = None
        watchers, model.watchers = model.watchers, {}
        links, model.links = model.links, set()
        for handle, target in model.monitored.items():
            target.watchers.pop(handle, None)
        model.monitored.clear()
        for handle, watcher in watchers.items():
            self.signal(watcher, "down", handle, Down(model.ref, reason, handle))
        for other in links:
            self.signal(other, "link", reason, model)
        waiting = [future for _, future in model.backlog if future is not None]
        model.backlog.clear()
        for future in waiting:
            self.fails_as_dead(model, lambda future=future: future.get(timeout=LIMIT))

    def fails_as_dead(self, model: Model, call: Any) -> None:
        with pytest.raises(ActorDead) as caught:
            call()
        assert caught.value.reason == model.reason

    # -- after each rule -------------------------------------------------------------------------------------

    def teardown(self) -> None:
        for model in self.all:
            if model.gate is not None:
                model.gate.set()
        for model in list(self.zombies):
            self.let_go(model)
        for ref in pykka.ActorRegistry.get_all():
            ref.kill()  # type: ignore[attr-defined]
        for model in self.all:
            model.ref.join(LIMIT)
            gone(model.ref)
            assert ends(model.ref) == 1
        assert (pykka.ActorRegistry.get_all(), self.registry.select()) == ([], [])

    def check(self) -> None:
        for model in self.all:
            if not model.alive:
                assert model.ref.join(LIMIT) == model.reason
        for model in self.all:
            self.check_alive(model) if model.alive else self.check_dead(model)
        living = [model for model in self.all if model.alive]
        assert pykka.ActorRegistry.get_all() == [model.ref for model in living]
        assert {entry.key: entry.ref for entry in self.registry.select()} == {model.key: model.ref for model in living}

    def check_alive(self, model: Model) -> None:
        assert model.ref.is_alive()
        if model.idle:
            assert Counter(model.ref.ask("log", timeout=LIMIT)) == Counter(model.log)

    def check_dead(self, model: Model) -> None:
        assert not model.ref.is_alive()
        assert model.ref.stop() is model.ref.kill() is False
        seen: list[Any] = model.ref.log  # type: ignore[attr-defined]
        if model not in self.zombies:
            assert seen[len(seen) - len(model.hooks) :] == model.hooks
            assert ends(model.ref) == 1
        # It may have been told of others or not before it ended with them, but never twice.
        handles = [item.monitor for item in seen if isinstance(item, Down)]
        assert len(set(handles)) == len(handles)

    # -- starting --------------------------------------------------------------------------------------------

    def options(self, key: int, foreign: bool, **options: Any) -> Any:
        backend = next(name for name in BACKENDS if (name != self.backend) is foreign)
        return Subject.options(backend=backend, register=(self.registry, key), **options)

    def holder(self, key: int) -> Model | None:
        return next((model for model in self.all if model.alive and model.key == key), None)

    @rule(target=actors, key=st.integers(0, 5), foreign=st.booleans())
    def start(self, key: int, foreign: bool) -> Any:
        holder, refs = self.holder(key), []  # type: ignore[var-annotated]
        if holder is not None:
            with pytest.raises(AlreadyRegistered) as caught:
                self.options(key, foreign).start(None, refs)
            assert caught.value.holder is holder.ref
            assert refs[0].join(LIMIT) == Killed()
            assert refs[0].log == []
            self.check()
            return multiple()
        model = Model(self.options(key, foreign).start(), key, ["start"])
        self.all.append(model)
        self.check()
        return model

    @rule(target=actors, key=st.integers(6, 7), foreign=st.booleans())
    def fail_to_start(self, key: int, foreign: bool) -> Model:
        error, refs = Refused("at start"), []  # type: ignore[var-annotated]

        def begin() -> None:
            raise error

        with pytest.raises(Refused) as caught:
            self.options(key, foreign).start(begin, refs)
        assert caught.value is error
        model = Model(refs[0], key)
        self.die(model, Crash(error), None)
        self.all.append(model)
        self.check()
        return model

    @rule(target=actors, key=st.integers(6, 7), foreign=st.booleans())
    def hang_at_start(self, key: int, foreign: bool) -> Model:
        gate, refs = threading.Event(), []  # type: ignore[var-annotated]
        with pytest.raises(StartTimeout):
            self.options(key, foreign, start_timeout=0).start(lambda: offload(gate.wait, LIMIT), refs)
        model = Model(refs[0], key)
        self.die(model, Killed(), None)
        self.all.append(model)
        model.gate = gate
        self.zombies.append(model)
        self.let_go(model)
        self.check()
        return model

    def let_go(self, model: Model) -> None:
        assert model.gate is not None
        model.gate.set()
        model.gate = None
        assert model.ref.ended.wait(LIMIT)  # type: ignore[attr-defined]
        gone(model.ref)
        if model in self.zombies:
            self.zombies.remove(model)

    # -- messages --------------------------------------------------------------------------------------------

    def send(self, model: Model, message: Any, asked: bool) -> Future[Any] | None:
        """Send it; a future when it has to wait."""
        if not model.alive:
            self.fails_as_dead(model, lambda: model.ref.ask(message) if asked else model.ref.tell(message))
            return None
        future = None
        if asked:
            future = model.ref.ask(message, block=False)
        else:
            model.ref.tell(message)
        if model.gate is not None:
            model.backlog.append((message, future))
            assert future is None or not future.done()
            return None
        self.handle(model, message, future)
        return future

    def handle(self, model: Model, message: Any, future: Future[Any] | None) -> None:
        kind, about = message
        if kind == "say":
            model.log.append(message)
            assert future is None or future.get(timeout=LIMIT) == message
            return
        if future is not None:
            with pytest.raises(Refused) as caught:
                future.get(timeout=LIMIT)
            assert caught.value is about
        if kind == "raise":
            self.die(model, Crash(about), ("on_failure", Refused))

    @rule(model=actors, asked=st.booleans())
    def say(self, model: Model, asked: bool) -> None:
        self.send(model, ("say", len(model.log)), asked)
        self.check()

    @rule(model=actors, asked=st.booleans())
    def refuse(self, model: Model, asked: bool) -> None:
        self.send(model, ("refuse", Refused("no")), asked)
        self.check()

    @rule(model=actors, asked=st.booleans())
    def crash(self, model: Model, asked: bool) -> None:
        self.send(model, ("raise", Refused("crash")), asked)
        self.check()

    def inside(self, model: Model, fn: Any) -> None:
        model.ref.ask(("do", fn), timeout=LIMIT)

    @rule(model=actors, trap=st.booleans())
    def set_trap(self, model: Model, trap: bool) -> None:
        if model.idle:
            self.inside(model, lambda actor: setattr(actor, "trap_exit", trap))
            model.trap = trap
        self.check()

    @rule(model=actors)
    def sit_in_a_handler(self, model: Model) -> None:
        if model.idle:
            gate = threading.Event()
            model.question = busy(model.ref, gate)
            model.gate = gate
        self.check()

    @rule(model=actors)
    def come_back(self, model: Model) -> None:
        if model in self.zombies:
            self.let_go(model)
        elif model.gate is not None:
            assert model.question is not None
            gate, model.gate = model.gate, None
            gate.set()
            answer = model.question.get(timeout=LIMIT)
            assert answer[0] == "wait"
            model.log.append(answer)
            for signal in model.signals:
                if model.alive:
                    self.obey(model, *signal)
            while model.backlog and model.alive:
                message, future = model.backlog.pop(0)
                self.handle(model, message, future)
            model.signals.clear()
        self.check()

    # -- ending ----------------------------------------------------------------------------------------------

    @rule(model=actors, reason=REASONS)
    def stop(self, model: Model, reason: ExitReason) -> None:
        alive = model.alive
        stopped = model.ref.stop(reason, block=False)
        self.signal(model, "stop", reason)
        if not model.alive:
            assert stopped.get(timeout=LIMIT) is alive
        self.check()

    @rule(model=actors, reason=REASONS)
    def stop_oneself(self, model: Model, reason: ExitReason) -> None:
        if model.idle:
            self.inside(model, lambda actor: actor.stop(reason))
            self.signal(model, "stop", reason)
        self.check()

    @rule(model=actors, reason=REASONS, sender=st.none() | actors)
    def exit(self, model: Model, reason: ExitReason, sender: Model | None) -> None:
        if sender is None or not sender.idle:
            sender = None
            model.ref.exit(reason)
        else:
            self.inside(sender, lambda actor: model.ref.exit(reason))
        self.signal(model, "exit", reason, sender)
        self.check()

    @rule(model=actors, comes_back=st.booleans())
    def kill(self, model: Model, comes_back: bool) -> None:
        if not model.alive:
            self.check()
            return
        gate = model.gate
        assert model.ref.kill() is True
        if gate is not None:
            # Dead at once, also where its thread cannot be ended.
            assert model.ref.join(0) == Killed()
        self.die(model, Killed(), None)
        if gate is not None:
            assert model.question is not None
            self.fails_as_dead(model, lambda: model.question and model.question.get(timeout=0))
            model.gate = gate
            model.signals.clear()
            self.zombies.append(model)
            if comes_back:
                self.let_go(model)
        self.check()

    @rule(model=actors)
    def join_the_living(self, model: Model) -> None:
        if model.alive:
            with pytest.raises(StopTimeout):
                model.ref.join(0)

    # -- bonds -----------------------------------------------------------------------------------------------

    @rule(one=actors, other=actors)
    def link(self, one: Model, other: Model) -> None:
        one.ref.link(other.ref)
        if one is not other:
            for side, far in ((one, other), (other, one)):
                if side.alive:
                    side.links.add(far)
            dead = [not one.alive, not other.alive]
            for side, far_is_dead, far in ((one, dead[1], other), (other, dead[0], one)):
                if far_is_dead:
                    self.signal(side, "link", NoProcess(), far) if side.alive else None
        self.check()

    @rule(one=actors, other=actors)
    def unlink(self, one: Model, other: Model) -> None:
        one.ref.unlink(other.ref)
        one.links.discard(other)
        other.links.discard(one)
        self.check()

    @rule(target=monitors, watcher=actors, model=actors)
    def watch(self, watcher: Model, model: Model) -> Any:
        if not watcher.alive:
            return multiple()
        handle = monitor.monitor(watcher.ref, model.ref)
        watcher.monitored[handle] = model
        if model.alive:
            model.watchers[handle] = watcher
        else:
            self.signal(watcher, "down", handle, Down(model.ref, NoProcess(), handle))
        self.check()
        return watcher, handle

    @rule(watch=consumes(monitors))
    def demonitor(self, watch: tuple[Model, Monitor]) -> None:
        watcher, handle = watch
        monitor.demonitor(watcher.ref, handle)
        target = watcher.monitored.pop(handle, None)
        if target is not None:
            target.watchers.pop(handle, None)
        self.check()


def ends(ref: Any) -> int:
    """How often it ran `on_terminate`."""
    return sum(isinstance(item, tuple) and item[0] == "terminate" for item in ref.log)


def test_every_life_is_as_the_model_says(backend: str) -> None:
    run_state_machine_as_test(
        lambda: LifeCycle(backend),  # type: ignore[arg-type]
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
