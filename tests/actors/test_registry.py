from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from beamlens_actors import ActorDead, AlreadyRegistered, InvalidOption, Registry, RegistryEvent, offload
from beamlens_actors.testing import FakeClock, Probe
from tests.actors.helpers import LIMIT, Recorder, Refused, busy, gone

KEYS = st.sampled_from("abc")
SLOTS = st.integers(0, 2)


class RegistryMachine(RuleBasedStateMachine):
    """A registry against a list of (key, ref, value), with actors that end and are replaced."""

    @initialize(unique=st.booleans())
    def make(self, unique: bool) -> None:
        self.unique = unique
        self.registry = Registry("unique" if unique else "duplicate")
        self.refs = [Recorder.start() for _ in range(3)]
        self.dead = Recorder.start()
        self.dead.stop()
        self.model: list[tuple[str, Any, int]] = []
        self.events: list[Any] = []
        self.expected = 0
        self.registry.subscribe(self.events.append)

    @rule(key=KEYS, slot=SLOTS, value=st.integers(0, 9))
    def register(self, key: str, slot: int, value: int) -> None:
        ref = self.refs[slot]
        holder = next((entry[1] for entry in self.model if entry[0] == key), None)
        if self.unique and holder is not None:
            with pytest.raises(AlreadyRegistered) as caught:
                self.registry.register(key, ref, value)
            assert caught.value.holder is holder
            assert caught.value.key == key
        else:
            self.registry.register(key, ref, value)
            self.model.append((key, ref, value))
            self.expected += 1

    @rule(key=KEYS)
    def register_a_dead_one(self, key: str) -> None:
        taken = self.unique and any(entry[0] == key for entry in self.model)
        with pytest.raises(AlreadyRegistered if taken else ActorDead):
            self.registry.register(key, self.dead)

    @rule(key=KEYS, slot=st.none() | SLOTS)
    def unregister(self, key: str, slot: int | None) -> None:
        ref = None if slot is None else self.refs[slot]
        self.registry.unregister(key, ref)
        self._forget(lambda entry: entry[0] == key and ref in (None, entry[1]))

    @rule(slot=SLOTS, how=st.sampled_from(["stop", "kill", "crash"]))
    def end(self, slot: int, how: str) -> None:
        ref = self.refs[slot]
        if how == "crash":
            ref.tell(("raise", Refused()))
        else:
            getattr(ref, how)()
        ref.join(LIMIT)
        self._forget(lambda entry: entry[1] is ref)
        self.refs[slot] = Recorder.start()

    @rule(key=KEYS, slot=SLOTS, value=st.integers(0, 9))
    def update(self, key: str, slot: int, value: int) -> None:
        if not self.unique:
            with pytest.raises(InvalidOption):
                self.registry.update(key, self.refs[slot], value)
            return
        held = any(entry[:2] == (key, self.refs[slot]) for entry in self.model)
        assert self.registry.update(key, self.refs[slot], value) is held
        self.model = [(k, r, value if held and k == key else v) for k, r, v in self.model]

    def _forget(self, gone: Any) -> None:
        before = len(self.model)
        self.model = [entry for entry in self.model if not gone(entry)]
        self.expected += before - len(self.model)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        registry = self.registry
        assert registry.count() == len(self.model)
        assert len(self.events) == self.expected
        for key in "abc":
            entries = [entry for entry in self.model if entry[0] == key]
            assert registry.lookup_all(key) == [entry[1] for entry in entries]
            assert registry.lookup(key) is (entries[0][1] if entries else None)
            assert registry.values(key) == [entry[2] for entry in entries]
            assert registry.value(key, -1) == (entries[0][2] if entries else -1)
        for ref in self.refs:
            assert sorted(registry.keys(ref)) == sorted(entry[0] for entry in self.model if entry[1] is ref)  # type: ignore[type-var]

    def teardown(self) -> None:
        for ref in getattr(self, "refs", ()):
            ref.stop(timeout=LIMIT)


TestRegistryMachine = RegistryMachine.TestCase
TestRegistryMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_unknown_kind_of_keys_is_refused() -> None:
    with pytest.raises(InvalidOption, match="duplicate"):
        Registry("some")  # type: ignore[arg-type]


def test_entry_is_gone_before_monitors_hear_of_the_end() -> None:
    registry, seen = Registry(), []
    ref = Recorder.options(register=(registry, "key")).start()
    ref.add_exit_callback(lambda ref, reason: seen.append(registry.select()))
    ref.stop()
    assert seen == [[]]


def test_holder_killed_while_busy_frees_its_key_at_once(gate: threading.Event) -> None:
    registry = Registry()
    ref = Recorder.options(register=(registry, "key")).start()
    busy(ref, gate)
    ref.kill()
    successor = Recorder.options(register=(registry, "key")).start()
    assert registry.lookup("key") is successor
    gate.set()


def test_dispatch_reaches_all_under_the_key_and_skips_the_full(gate: threading.Event) -> None:
    registry = Registry("duplicate")
    probes = [Probe.start(), Probe.start()]
    full = Recorder.options(capacity=1).start()
    for ref in (*probes, full):
        registry.register("topic", ref)
    busy(full, gate)
    full.tell("filler")
    assert registry.dispatch("topic", "news") == 2
    assert registry.dispatch("other", "news") == 0
    for probe in probes:
        probe.expect("news")


def test_subscribed_actor_hears_of_register_and_unregister_until_it_unsubscribes() -> None:
    registry, probe, ref = Registry(), Probe.start(), Recorder.start()
    unsubscribe = registry.subscribe(probe)
    registry.register("key", ref, "value")
    ref.stop()
    registered = probe.expect(RegistryEvent)
    assert (registered.kind, registered.entry) == ("register", ("key", ref, "value"))
    assert probe.expect(RegistryEvent).kind == "unregister"
    unsubscribe()
    registry.register("key", Recorder.start())
    probe.expect_nothing()


def test_failing_or_dead_listener_disturbs_nobody() -> None:
    registry, probe, dead = Registry(), Probe.start(), Recorder.start()
    registry.subscribe(lambda event: 1 / 0)
    registry.subscribe(dead)
    registry.subscribe(probe)
    dead.stop()
    registry.register("key", Recorder.start())
    assert probe.expect(RegistryEvent).kind == "register"


def test_select_takes_a_predicate_over_entries() -> None:
    registry, ref = Registry("duplicate"), Recorder.start()
    for value in range(4):
        registry.register("key", ref, value)
    assert [entry.value for entry in registry.select(lambda entry: entry.value % 2 == 1)] == [1, 3]


def test_key_lock_excludes_its_key_only_and_is_free_after_an_error() -> None:
    registry = Registry()

    def fail_inside() -> None:
        with registry.lock("a"):
            with registry.lock("b"), pytest.raises(TimeoutError), registry.lock("a", timeout=0):
                pass
            raise Refused

    with pytest.raises(Refused):
        fail_inside()
    with registry.lock("a", timeout=0):
        pass


def test_key_lock_of_a_killed_holder_is_free_and_a_killed_waiter_is_skipped(gate: threading.Event) -> None:
    registry = Registry()
    holder, waiter = Recorder.start(), Recorder.start()
    inside = threading.Event()

    def hold(actor: Any) -> None:
        with registry.lock("key"):
            inside.set()
            offload(gate.wait, LIMIT)

    def wait(actor: Any) -> None:
        with registry.lock("key", timeout=60):
            pytest.fail("a dead waiter got the lock")

    holder.tell(("do", hold))
    assert inside.wait(LIMIT)
    with FakeClock() as clock:
        waiter.tell(("do", wait))
        clock.wait_for_waiters(1)
        waiter.kill()
        holder.kill()
        gone(waiter)
    with registry.lock("key", timeout=0):
        pass
    gate.set()
