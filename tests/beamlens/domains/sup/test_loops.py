"""What is a crash loop, and what only looks like one."""

from __future__ import annotations

import contextlib
import threading

import pytest

from beamlens.application import tree as own_tree
from beamlens.domains import SupDomain
from beamlens_actors import Actor, ActorDead
from beamlens_actors.testing import FakeClock
from beamlens_supervision import ChildSpec, DynamicSupervisor, Supervisor


class Worker(Actor):
    def on_receive(self, message):
        raise KeyError(message)


@pytest.fixture
def domain():
    made = SupDomain()
    made.recorder.install()
    yield made
    made.close()


def fail(supervisor, child):
    ref = supervisor.child(child)
    ref.tell("fail")
    ref.join()
    with contextlib.suppress(ActorDead):
        while supervisor.child(child) in (None, ref):
            pass


def loops(domain):
    return domain.sense()["crash_loops"]


@pytest.mark.parametrize("restart", ["temporary", "permanent"])
def test_many_children_of_one_id_that_crash_once_each_are_no_loop(domain, restart):
    sup = DynamicSupervisor.start(name="Sessions", max_restarts=100)
    for _ in range(20):
        ref = sup.start_child(ChildSpec("session", Worker.start, restart=restart))
        ref.tell("fail")
        ref.join()
    assert sup.count_children().specs == (20 if restart == "permanent" else 0)
    assert domain.snapshot()["crashes_1m"] == 20
    assert loops(domain) == 0
    sup.stop()


def test_two_workers_of_one_id_under_two_supervisors_are_two(domain):
    pools = [Supervisor.start([ChildSpec("worker", Worker.start)], name=name, max_restarts=9) for name in "AB"]
    for pool in pools:
        fail(pool, "worker")
        fail(pool, "worker")
    assert loops(domain) == 0
    fail(pools[0], "worker")
    assert loops(domain) == 1
    assert [one["type"] for one in domain.callbacks()["sup_tree_integrity"]("A")["anomalies"]] == ["crash_loop"]
    assert domain.callbacks()["sup_tree_integrity"]("B")["anomalies"] == []
    for pool in pools:
        pool.stop()


def test_a_worker_is_the_same_one_under_a_supervisor_that_was_started_again(domain):
    inner = ChildSpec(
        "inner", Supervisor.start, ([ChildSpec("deep", Worker.start)],), {"max_restarts": 1}, type="supervisor"
    )
    outer = Supervisor.start([inner], name="Outer", max_restarts=9)
    for _ in range(2):
        below = outer.child("inner")
        fail(below, "deep")
        fail(below, "deep")
        below.join()
        while outer.child("inner") in (None, below):
            pass
    row = domain.callbacks()["sup_crashes"]()[0]
    domain.sense()
    (loop,) = domain._loops
    assert (len(loop.crashes), loop.resigned is None, row["child"]) == (4, False, "deep")
    outer.stop()


def test_a_worker_that_crashes_each_45_seconds_is_a_loop_until_it_stops(domain):
    with FakeClock() as fake:
        sup = Supervisor.start([ChildSpec("poller", Worker.start)], name="Polls")
        seen = []
        for _ in range(6):
            fail(sup, "poller")
            seen.append(loops(domain))
            fake.advance(45.0)
        assert seen == [0, 0, 0, 0, 1, 1]
        fake.advance(80.0)
        assert loops(domain) == 1
        fake.advance(20.0)
        assert loops(domain) == 0
        sup.stop()


def test_a_worker_that_crashes_every_three_minutes_is_no_loop(domain):
    with FakeClock() as fake:
        sup = Supervisor.start([ChildSpec("poller", Worker.start)], name="Polls")
        for _ in range(20):
            fail(sup, "poller")
            assert loops(domain) == 0
            fake.advance(180.0)
        sup.stop()


def test_a_supervisor_of_beamlens_that_gave_up_is_none_of_the_hosts(domain):
    root = own_tree.start_root([ChildSpec("part", Worker.start)], lambda _event: None)
    domain.snapshot()
    for _ in range(11):
        fail(root, "part")
    root.join()
    data = domain.snapshot()
    assert (data["gave_up_1h"], data["crash_loops"]) == (0, 0)
    assert domain.sense()["own_crash_loops"] == 1


def test_a_mailbox_that_is_nearly_full_is_named_though_others_hold_more(domain):
    gate, waiting = threading.Event(), []

    class Busy(Actor):
        def on_receive(self, message):
            gate.wait(30.0)

    try:
        waiting += [Busy.options(name=f"wide-{number}").start() for number in range(51)]
        waiting.append(Busy.options(name="narrow", capacity=20).start())
        waiting.append(Busy.options(name="latest", capacity=1, overflow="drop_oldest").start())
        for ref in waiting:
            for _ in range(20):
                with contextlib.suppress(Exception):
                    ref.tell("work")
        for ref in waiting[:51]:
            for _ in range(20):
                ref.tell("work")
        assert domain.sense()["mailbox_used_pct"] >= 95.0
        state = type("State", (), {"name": "mailbox_used_pct_threshold"})
        (piece,) = domain.evidence(state)
        assert piece.data["actor"] == "narrow"
    finally:
        gate.set()
        for ref in waiting:
            ref.kill()
            ref.join()


def test_to_look_at_mailboxes_asks_no_supervisor(domain):
    with FakeClock() as fake:
        sup = Supervisor.start([ChildSpec("worker", Worker.start)], name="Quiet")
        domain.sense()
        asked = []
        sup_class = type(sup)
        before = sup_class.describe_later
        sup_class.describe_later = lambda self: asked.append(self) or before(self)
        try:
            for _ in range(29):
                fake.advance(1.0)
                domain.sense()
            assert asked == []
            fake.advance(1.0)
            domain.sense()
            assert asked == [sup]
        finally:
            sup_class.describe_later = before
        sup.stop()
