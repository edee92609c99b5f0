from __future__ import annotations

import contextlib
import subprocess
import sys
import threading

import pykka
import pytest

from beamlens import Beamlens
from beamlens.application import tree as own_tree
from beamlens.detect import SensorBank
from beamlens.domains import SupDomain
from beamlens.evidence import CauseKind, Strength
from beamlens.testing import check_domain
from beamlens_actors import Actor, ActorDead, clock, living_actors
from beamlens_actors.testing import FakeClock
from beamlens_supervision import ChildSpec, DynamicSupervisor, Supervisor
from beamlens_supervision.events import observers
from tests.support.threads import until


class Worker(Actor):
    """Fails, or works until it is let go."""

    def __init__(self, gate=None):
        super().__init__()
        self.gate = gate

    def on_receive(self, message):
        if message == "fail":
            raise KeyError("order 17")
        if message == "work":
            self.gate.wait(30.0)


class Stubborn(Actor):
    trap_exit = True


def line_of_failure():
    return Worker.on_receive.__code__.co_firstlineno + 2


@pytest.fixture
def domain():
    made = SupDomain()
    made.recorder.install()
    yield made
    made.close()
    assert observers() == ()


@pytest.fixture
def shop():
    inner = ChildSpec(
        "inner", Supervisor.start, ([ChildSpec("deep", Worker.start)],), {"name": "Inner"}, type="supervisor"
    )
    sup = Supervisor.start([ChildSpec("worker", Worker.start), inner], name="Shop", max_restarts=10)
    yield sup
    if sup.is_alive():
        sup.stop()


def fail(supervisor, child="worker", times=1):
    """Have a child crash, and wait until it runs again each time."""
    for _ in range(times):
        ref = supervisor.child(child)
        ref.tell("fail")
        ref.join()
        with contextlib.suppress(ActorDead):
            while supervisor.child(child) in (None, ref):
                pass


def looked(domain, seconds=1):
    """The sensors that are active after so many looks."""
    bank = SensorBank(domain.all_sensors())
    for second in range(seconds):
        bank.feed(float(second), domain.sense())
    return {state.name: state for state in bank.active()}


def test_the_contract_is_kept_recording_or_not(domain, shop):
    check_domain(domain)
    domain.close()
    check_domain(domain)
    assert domain.snapshot()["restarts_1m"] is None


def test_supervisors_children_and_restarts_are_counted(domain, shop):
    fail(shop, times=2)
    data = domain.snapshot()
    assert (data["supervisor_count"], data["total_children"], data["active_children"]) == (2, 3, 3)
    assert (data["restarts_1m"], data["crashes_1m"], data["crash_loops"], data["own_children"]) == (2, 2, 0, 0)
    assert looked(domain) == {}


def test_a_worker_that_crashes_again_and_again_is_found_with_the_line(domain, shop):
    fail(shop, times=4)
    active = looked(domain)
    assert list(active) == ["crash_loop"]
    assert active["crash_loop"].reason == (
        "worker 'worker' of Shop crashed 4 times in the last 60 s, last with KeyError"
    )
    (piece,) = domain.evidence(active["crash_loop"])
    assert (piece.cause, piece.strength) == (CauseKind.CRASH_LOOP, Strength.CONCLUSIVE)
    assert (piece.place.file, piece.place.line) == (__file__, line_of_failure())
    assert piece.text.startswith("4 of 4 crashes of worker 'worker' of Shop in the last 60 s are KeyError at ")


def test_a_supervisor_that_gave_up_is_critical(domain):
    sup = Supervisor.start([ChildSpec("worker", Worker.start)], name="Brief", max_restarts=1)
    fail(sup, times=2)
    sup.join()
    state = looked(domain)["crash_loop"]
    assert state.severity == "critical"
    assert "Brief gave up and ended with all of its children" in state.reason
    (piece,) = domain.evidence(state)
    assert "Brief allows 1 restarts in 5 s and has ended with all of its children" in piece.text
    assert domain.excerpt(1) == ["Brief gave up over worker"]


def test_a_worker_that_cannot_be_started_again_is_found_with_the_line(domain):
    broken = threading.Event()

    class Fragile(Worker):
        def on_start(self):
            if broken.is_set():
                raise ConnectionRefusedError("no broker")

    sup = Supervisor.start([ChildSpec("fragile", Fragile.start)], name="Fragile", max_restarts=4)
    broken.set()
    sup.child("fragile").tell("fail")
    sup.join()
    (piece,) = domain.evidence(looked(domain)["crash_loop"])
    assert (piece.cause, piece.data["exception"]) == (CauseKind.FAILING_DEPENDENCY, "ConnectionRefusedError")
    assert "4 of them while it was started again" in piece.text
    assert piece.place.line == Fragile.on_start.__code__.co_firstlineno + 2


def test_beamlens_own_trouble_is_told_as_its_own(domain):
    root = own_tree.start_root([ChildSpec("part", Worker.start)], lambda _event: None)
    domain.snapshot()
    fail(root, "part", times=3)
    active = looked(domain)
    assert list(active) == ["own_crash_loop"]
    assert active["own_crash_loop"].anomaly_type == "beamlens_crash_loop"
    assert active["own_crash_loop"].reason.startswith("Beamlens's own worker 'part' of Beamlens.Supervisor crashed 3")
    data = domain.snapshot()
    assert (data["supervisor_count"], data["own_supervisor_count"], data["own_restarts_1m"]) == (0, 1, 3)
    assert [row["own"] for row in domain.callbacks()["sup_list"]()] == [True]
    root.stop()


def test_a_busy_supervisor_blocks_nobody_and_says_busy(domain, shop):
    gate, entered = threading.Event(), threading.Event()

    def slow_start():
        entered.set()
        gate.wait(30.0)
        return Worker.start()

    starter = threading.Thread(target=shop.start_child, args=(ChildSpec("slow", slow_start),))
    starter.start()
    assert entered.wait(10.0)
    found = domain.callbacks()
    assert found["sup_children"]("Shop")["error"] == "busy"
    assert found["sup_tree"]("Shop")["state"] == "busy"
    assert found["sup_tree_integrity"]("Shop")["anomalies"][0]["type"] == "busy"
    rows = {row["name"]: row for row in found["sup_list"]()}
    assert (rows["Shop"]["state"], rows["Shop"]["child_count"], rows["Inner"]["state"]) == ("busy", None, "running")
    snapshot = domain.snapshot()
    assert (snapshot["busy_supervisors"], snapshot["total_children"], snapshot["active_children"]) == (1, None, None)
    assert snapshot["_unavailable"]["total_children"] == "a supervisor is too busy to tell"
    # However often it was asked: one question of ours waits, and no more.
    assert shop.mailbox_stats().size == 1
    gate.set()
    starter.join(10.0)
    assert len(found["sup_children"]("Shop")) == 3


def test_trees_are_three_levels_deep_and_say_what_is_cut_off(domain):
    def nested(level):
        below = [nested(level - 1)] if level else [ChildSpec("leaf", Worker.start)]
        return ChildSpec(f"level{level}", Supervisor.start, (below,), {"name": f"Level{level}"}, type="supervisor")

    sup = Supervisor.start([nested(4)], name="Deep")
    tree = domain.callbacks()["sup_tree"]("Deep")
    names = []
    while tree.get("children"):
        (tree,) = tree["children"]
        names.append(tree["id"])
    assert (names, tree["truncated"]) == (["level4", "level3", "level2"], True)
    sup.stop()


def test_an_unknown_supervisor_is_answered_with_the_names(domain, shop):
    for name in ("sup_children", "sup_tree", "sup_tree_integrity", "sup_zombie_children"):
        assert domain.callbacks()[name]("Shopp") == {
            "error": "supervisor_not_found",
            "message": "supervisor_name='Shopp'; the supervisors are: Shop, Inner",
        }


def test_children_of_a_supervisor_that_is_gone_are_orphans(domain):
    """A supervisor that is killed while it is busy cannot end its children; one that traps exits lives on."""
    gate, entered = threading.Event(), threading.Event()

    def slow_start():
        entered.set()
        gate.wait(30.0)
        return Worker.start()

    sup = Supervisor.start([ChildSpec("stubborn", Stubborn.start)], name="Gone")
    ref = sup.child("stubborn")
    domain.snapshot()
    starter = threading.Thread(target=pytest.raises, args=(Exception, sup.start_child, ChildSpec("slow", slow_start)))
    starter.start()
    assert entered.wait(10.0)
    sup.kill()
    (row,) = domain.callbacks()["sup_zombie_children"]("Gone")
    assert (row["pid"], row["id"], row["supervisor"]) == (ref.actor_urn, "stubborn", "Gone")
    assert [one["pid"] for one in domain.callbacks()["sup_orphaned_processes"]()] == [ref.actor_urn]
    assert domain.snapshot()["orphans"] == 1
    gate.set()
    starter.join(10.0)
    for _ in range(1000):
        if not ref.is_alive():
            break
        ref.stop()
    ref.join(10.0)
    assert domain.callbacks()["sup_orphaned_processes"]() == []


def test_actors_that_nobody_watches_are_listed_pykkas_too(domain, shop):
    class Plain(pykka.ThreadingActor):
        pass

    plain, alone = Plain.start(), Worker.options(name="alone").start()
    rows = domain.callbacks()["sup_unlinked_processes"]()
    assert [(row["name"], row["kind"].rpartition(".")[2]) for row in rows] == [(None, "Plain"), ("alone", "Worker")]
    shop.link(alone)
    assert [row["pid"] for row in domain.callbacks()["sup_unlinked_processes"]()] == [plain.actor_urn]
    plain.stop()
    alone.stop()


def test_integrity_counts_each_child_once_and_names_what_is_odd(domain):
    specs = [ChildSpec(number, Worker.start) for number in range(101)]
    sup = Supervisor.start(specs, name="Large", max_restarts=10)
    found = domain.callbacks()["sup_tree_integrity"]
    assert found("Large")["anomalies"] == [{"type": "large_supervisor", "detail": "101 children"}]
    for number in range(60):
        sup.terminate_child(number)
    fail(sup, 77, times=3)
    assert [one["type"] for one in found("Large")["anomalies"]] == [
        "crash_loop", "high_undefined_ratio", "large_supervisor",
    ]  # fmt: skip
    assert (found("Large")["running"], found("Large")["stopped"], found("Large")["workers"]) == (41, 60, 101)
    sup.stop()


def test_a_mailbox_that_grows_names_the_actor_and_the_line_it_is_at(domain):
    gate = threading.Event()
    ref = Worker.options(name="slow-worker").start(gate)
    bank, active = SensorBank(domain.all_sensors()), {}
    with FakeClock() as fake:
        ref.tell("work")
        for second in range(40):
            for _ in range(100):
                ref.tell("work")
            fake.advance(1)
            bank.feed(float(second), domain.sense())
            active = {state.name: state for state in bank.active()}
    assert list(active) == ["mailbox_growth"]
    (piece,) = domain.evidence(active["mailbox_growth"])
    assert (piece.cause, piece.strength) == (CauseKind.QUEUE_OVERLOAD, Strength.CONCLUSIVE)
    assert piece.place.line == Worker.on_receive.__code__.co_firstlineno + 4
    assert "waiting messages of 10000 that fit wait for the actor slow-worker (Worker)" in piece.text
    assert domain.callbacks()["sup_mailboxes"](1)[0]["name"] == "slow-worker"
    gate.set()
    ref.kill()
    ref.join()


def test_mailboxes_that_come_and_go_are_quiet(domain):
    gate = threading.Event()
    ref = Worker.start(gate)
    bank, seen = SensorBank(domain.all_sensors()), set()
    with FakeClock() as fake:
        for second in range(60):
            if second % 5 == 0:
                gate.set()
                ref.ask(None)
                gate.clear()
                ref.tell("work")
            for _ in range(200):
                ref.tell("work")
            fake.advance(1)
            bank.feed(float(second), domain.sense())
            seen |= {state.name for state in bank.active()}
    assert seen == set()
    gate.set()
    ref.stop()


def test_zombies_that_stay_are_told_by_name(monkeypatch):
    domain = SupDomain(zombie_after=10.0)
    sleepers = [subprocess.Popen([sys.executable, "-c", ""]) for _ in range(6)]
    pids = {process.pid for process in sleepers}

    def mine():  # other tests have children too
        return [row["status"] for row in domain.callbacks()["sup_processes"]() if row["pid"] in pids]

    try:
        with FakeClock() as fake:
            until(lambda: mine() == ["zombie"] * 6)
            assert domain.sense()["zombie_processes"] == 0
            fake.advance(11)
            bank = SensorBank(domain.all_sensors())
            for second in range(5):
                bank.feed(float(second), domain.sense())
            (state,) = bank.active()
            (piece,) = domain.evidence(state)
        assert (state.name, state.value) == ("zombie_processes_threshold", 6)
        assert piece.cause == CauseKind.ZOMBIE_PROCESSES
        assert piece.text.startswith("6 ended child processes were never waited for, the oldest for 11 s: ")
    finally:
        for process in sleepers:
            process.wait()
    assert mine() == []


def test_temporary_children_that_crash_once_each_are_no_loop(domain):
    sup = DynamicSupervisor.start(name="Connections")
    for number in range(20):
        ref = sup.start_child(ChildSpec(f"connection-{number}", Worker.start, restart="temporary"))
        ref.tell("fail")
        ref.join()
    assert sup.count_children().specs == 0
    assert looked(domain) == {}
    assert domain.snapshot()["crashes_1m"] == 20
    sup.stop()


def test_looking_on_keeps_no_actor_alive(domain, shop):
    fail(shop, times=3)
    domain.snapshot()
    shop.stop()
    assert [ref for ref in living_actors() if isinstance(ref.actor_class, type) and ref.actor_class is Worker] == []
    assert domain.snapshot()["orphans"] == 0


@pytest.mark.parametrize("wrong", [-1, "30", True, None])
def test_a_wrong_bound_is_refused_by_name(wrong):
    with pytest.raises(TypeError, match="zombie_after must be seconds of at least 0"):
        SupDomain(zombie_after=wrong)


def test_the_store_takes_its_ear_out_at_an_orderly_end():
    domain = SupDomain()
    sup = Supervisor.start(domain.children())
    ref = sup.child("SupStore")
    ref.kill()
    ref.join()
    assert len(observers()) == 1
    sup.stop()
    assert observers() == ()
    assert clock.time() > 0


def test_an_instance_of_beamlens_is_its_own_and_none_of_the_hosts(shop):
    with Beamlens.start(watchers=["sup", "runtime"]) as lens:
        domain = lens.domain("sup")
        domain.callbacks()["sup_list"]()
        data = domain.snapshot()
        assert domain.callbacks()["sup_unlinked_processes"]() == []
    assert (data["supervisor_count"], data["total_children"], data["unlinked"]) == (2, 3, 0)
    assert data["own_supervisor_count"] >= 8
    assert data["own_children"] >= 10
