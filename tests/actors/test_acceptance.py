"""Items of the acceptance list that no other file here is about, and that the list in ACCEPTANCE.md is true."""

from __future__ import annotations

import ast
import re
import threading
from pathlib import Path
from typing import Any

import pykka
import pytest

from beamlens_actors import (
    Actor,
    ActorDead,
    AlreadyRegistered,
    AskTimeout,
    Crash,
    Down,
    InvalidOption,
    Killed,
    Registry,
    RegistryEvent,
    SelfAsk,
    clock,
    offload,
    send_after,
)
from beamlens_actors.testing import FakeClock, Probe
from tests.actors.helpers import LIMIT, Recorder, Refused, busy, gone

HERE = Path(__file__).parent
TESTS = HERE.parent


# -- calls (79, 81, 82) --------------------------------------------------------------------------------------


def test_questions_fail_in_four_ways_that_can_be_told_apart(gate: threading.Event) -> None:
    late, dead, self_asking, dying = (Recorder.start() for _ in range(4))
    dead.stop()
    busy(late, gate)
    busy(dying, gate)
    died = dying.ask("x", block=False)
    dying.kill()

    def failure(ask: Any) -> Any:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the question
            ask()
        return type(caught.value), getattr(caught.value, "reason", None)

    assert failure(lambda: late.ask("x", timeout=0)) == (AskTimeout, None)
    assert failure(lambda: dead.ask("x"))[0] is ActorDead
    assert failure(lambda: died.get(timeout=LIMIT)) == (ActorDead, Killed())
    ask_self = ("do", lambda actor: failure(lambda: actor.actor_ref.ask("me")))
    assert self_asking.ask(ask_self, timeout=LIMIT) == (SelfAsk, None)
    gate.set()


def test_question_being_handled_when_the_actor_is_killed_fails_at_once_with_killed(gate: threading.Event) -> None:
    ref = Recorder.start()
    handled = busy(ref, gate)
    ref.kill()
    with pytest.raises(ActorDead) as caught:
        handled.get(timeout=LIMIT)
    assert caught.value.reason == Killed()
    gate.set()


def test_tell_to_the_dead_raises_and_dispatch_to_an_unknown_name_reaches_nobody() -> None:
    ref = Recorder.start()
    ref.stop()
    with pytest.raises(ActorDead):
        ref.tell("x")
    assert Registry().dispatch("unknown", "x") == 0


def test_message_for_a_moment_in_time_is_sent_by_the_clock() -> None:
    with FakeClock() as fake:
        probe = Probe.start()
        moment = clock.monotonic() + 60
        fake.advance(20)
        timer = send_after(moment - clock.monotonic(), probe, "it is time")
        assert timer.due == moment
        fake.advance(39)
        assert timer.remaining() == 1
        fake.advance(1)
        probe.expect("it is time")


# -- the registry (83 to 89) ---------------------------------------------------------------------------------


def test_second_registration_of_a_key_fails_with_the_holder_also_for_the_holder_itself() -> None:
    registry, holder, other = Registry(), Recorder.start(), Recorder.start()
    registry.register("key", holder)
    for ref in (other, holder):
        with pytest.raises(AlreadyRegistered) as caught:
            registry.register("key", ref)
        assert caught.value.holder is holder


def test_failed_registration_leaks_nothing() -> None:
    registry, holder, other = Registry(), Recorder.start(), Recorder.start()
    events: list[RegistryEvent] = []
    registry.register("key", holder)
    registry.subscribe(events.append)
    with pytest.raises(AlreadyRegistered):
        registry.register("key", other)
    assert (registry.keys(other), registry.count(), events) == ([], 1, [])
    assert (list(registry._by_ref), other._cell.bonds._tables.cleanups) == ([holder], {})


def test_duplicate_keys_hold_many_and_one_twice_and_dispatch_tells_each_entry() -> None:
    registry, first, second = Registry("duplicate"), Probe.start(), Probe.start()
    for ref in (first, second, first):
        registry.register("topic", ref)
    assert registry.lookup_all("topic") == [first, second, first]
    assert registry.dispatch("topic", "news") == 3
    assert [first.expect(), first.expect(), second.expect()] == ["news"] * 3


def test_dead_holder_whose_clean_up_is_still_to_come_does_not_block_its_key() -> None:
    first, second = Registry(), Registry()
    holder, heir = Recorder.start(), Recorder.start()
    taken: list[Any] = []

    def take(event: RegistryEvent) -> None:
        # The holder's entry in the first registry was cleaned up, the one in the second was not yet.
        if event.kind == "unregister":
            taken.append(second._entries["key"][0].ref)
            second.register("key", heir)

    first.register("key", holder)
    second.register("key", holder)
    first.subscribe(take)
    holder.kill()
    holder.join(LIMIT)
    assert taken == [holder]
    assert second.lookup("key") is heir


@pytest.mark.parametrize("end", ["stop", "kill", "crash"])
def test_every_entry_of_an_actor_ends_with_it(end: str) -> None:
    registry, ref = Registry(), Recorder.start()
    for key in "abc":
        registry.register(key, ref, key.upper())
    assert registry.keys(ref) == ["a", "b", "c"]
    if end == "crash":
        ref.tell(("raise", Refused()))
    else:
        getattr(ref, end)()
    ref.join(LIMIT)
    assert (registry.count(), registry.keys(ref), registry._entries, registry._by_ref) == (0, [], {}, {})


def test_unregistering_is_idempotent_and_frees_the_key_only() -> None:
    registry, ref = Registry(), Recorder.start()
    registry.register("a", ref)
    registry.register("b", ref)
    for _ in range(2):
        registry.unregister("a")
    registry.unregister("b", Recorder.start())
    assert (registry.lookup("a"), registry.keys(ref), ref.is_alive()) == (None, ["b"], True)


def test_values_are_updated_by_their_owner_only_and_in_unique_registries_only() -> None:
    registry, owner, other = Registry(), Recorder.start(), Recorder.start()
    registry.register("key", owner, 1)
    assert registry.update("key", other, 2) is False
    assert registry.value("key") == 1
    assert registry.update("key", owner, 3) is True
    assert (registry.value("key"), registry.values("key"), registry.select()) == (3, [3], [("key", owner, 3)])
    with pytest.raises(InvalidOption):
        Registry("duplicate").update("key", owner, 1)


def test_failed_start_leaves_no_entry_and_its_key_is_free() -> None:
    class Fails(Actor):
        def on_start(self) -> None:
            raise Refused

    registry = Registry()
    with pytest.raises(Refused):
        Fails.options(register=(registry, "key")).start()
    assert registry.select() == []
    ref = Recorder.options(register=(registry, "key")).start()
    assert registry.lookup("key") is ref


def test_locks_of_different_keys_do_not_wait_for_each_other(gate: threading.Event) -> None:
    registry, inside = Registry(), threading.Event()
    holder, other = Recorder.start(), Recorder.start()

    def hold(actor: Any) -> None:
        with registry.lock("a"):
            inside.set()
            offload(gate.wait, LIMIT)

    def pass_by(actor: Any) -> str:
        with registry.lock("b", timeout=0):
            return "passed"

    held = holder.ask(("do", hold), block=False)
    assert inside.wait(LIMIT)
    assert other.ask(("do", pass_by), timeout=LIMIT) == "passed"
    gate.set()
    held.get(timeout=LIMIT)


def test_key_lock_of_a_holder_that_crashes_inside_is_free() -> None:
    registry, ref = Registry(), Recorder.start()

    def crash(actor: Any) -> None:
        with registry.lock("key"):
            raise Refused

    ref.tell(("do", crash))
    ref.join(LIMIT)
    with registry.lock("key", timeout=0):
        pass


# -- the runtime (100, 101, 104) ----------------------------------------------------------------------------------


def test_down_comes_when_nothing_of_the_actor_runs_any_more() -> None:
    order: list[str] = []

    class Last(Recorder):
        def on_stop(self) -> None:
            order.append("on_stop")

        def on_terminate(self, reason: Any) -> None:
            order.append("on_terminate")

    class Watcher(Recorder):
        def on_down(self, down: Down) -> None:
            order.append("down")
            told.set()

    told = threading.Event()
    ref, watcher = Last.start(), Watcher.start()
    watcher.ask(("do", lambda actor: actor.monitor(ref)))
    ref.stop()
    assert told.wait(LIMIT)
    assert order == ["on_stop", "on_terminate", "down"]


@pytest.mark.parametrize("callee", ["threads", "greenlets"])
def test_actor_that_asks_a_busy_one_of_either_backend_holds_up_no_third(
    backend: str, callee: str, gate: threading.Event
) -> None:
    asked = Recorder.options(backend=callee).start()
    asker, third = Recorder.options(backend=backend).start(), Recorder.options(backend=backend).start()
    busy(asked, gate)
    about_to = threading.Event()

    def ask(actor: Any) -> Any:
        about_to.set()
        return asked.ask("question", timeout=LIMIT)

    future = asker.ask(("do", ask), block=False)
    assert about_to.wait(LIMIT)
    assert third.ask("hello", timeout=LIMIT) == "hello"
    assert not future.done()
    gate.set()
    assert future.get(timeout=LIMIT) == "question"


def test_late_answer_of_one_killed_while_busy_is_dropped(gate: threading.Event) -> None:
    probe, ref = Probe.start(), Recorder.start()
    probe.watch(ref)
    future = busy(ref, gate)
    ref.kill()
    assert probe.expect(Down).reason == Killed()
    with pytest.raises(ActorDead):
        future.get(timeout=LIMIT)
    gate.set()
    gone(ref)
    with pytest.raises(ActorDead):
        future.get(timeout=LIMIT)
    probe.expect_nothing()


def test_crash_of_a_linked_actor_that_was_asked_reaches_the_asker_and_the_link() -> None:
    ref, linked, error = Recorder.start(), Recorder.start(), Refused()
    ref.link(linked)
    with pytest.raises(Refused):
        ref.ask(("raise", error), timeout=LIMIT)
    assert linked.join(LIMIT) == Crash(error)
    assert pykka.ActorRegistry.get_all() == []


# -- the list ------------------------------------------------------------------------------------------------

LIST = (HERE / "ACCEPTANCE.md").read_text(encoding="utf-8")
ITEMS = [*range(76, 90), *range(97, 109)]


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return functions | assigned


@pytest.mark.backend("threads")
def test_every_test_that_the_list_names_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", LIST)
    assert len(named) > 50
    missing = [f"{path}::{name}" for path, name in named if name not in names_in(TESTS / path)]
    assert missing == []


@pytest.mark.backend("threads")
def test_every_item_is_in_the_list_once_with_a_test() -> None:
    rows = re.findall(r"^\| (\d+) \|[^|]*\| (.*) \|$", LIST, re.MULTILINE)
    assert [int(number) for number, _ in rows] == ITEMS
    assert [number for number, how in rows if "::" not in how] == []


@pytest.mark.backend("threads")
def test_every_file_runs_on_both_backends_but_those_about_one_of_them() -> None:
    one_only = {
        path.name
        for path in HERE.glob("test_*.py")
        if re.search(r"^pytestmark = .*backend\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert one_only == {"test_threads.py", "test_kept.py", "test_greenlets.py"}
