from __future__ import annotations

import json
import threading
from typing import Any

from beamlens_actors import offload
from beamlens_supervision import ChildSpec, DynamicSupervisor, Supervisor, TaskSupervisor, format_tree, tree
from tests.supervision.helpers import LIMIT, Boom, Worker, crash, hang, worker


def shop() -> Any:
    tasks = ChildSpec("tasks", TaskSupervisor.start, type="supervisor")
    inner = ChildSpec("carts", Supervisor.start, ([worker("cart")],), {"name": "Carts"}, type="supervisor")
    return Supervisor.start([worker("store"), inner, tasks], name="Shop")


def test_a_tree_is_plain_data() -> None:
    node = tree(shop())
    assert json.loads(json.dumps(node)) == node


def test_a_tree_shows_each_actor_with_its_children_in_order() -> None:
    sup = shop()
    node = tree(sup)
    assert (node["name"], node["type"], node["state"]) == ("Shop", "supervisor", "running")
    assert [child["id"] for child in node["children"]] == ["store", "carts", "tasks"]
    carts = node["children"][1]
    assert (carts["name"], [child["id"] for child in carts["children"]]) == ("Carts", ["cart"])


def test_a_tree_shows_restarts_and_who_is_stopped() -> None:
    sup = Supervisor.start([worker("a"), worker("b")])
    crash(sup.child("a"))
    sup.terminate_child("b")
    shown = [(child["id"], child["state"], child["restarts"]) for child in tree(sup)["children"]]
    assert shown == [("a", "running", 1), ("b", "stopped", 0)]


def test_a_tree_shows_how_many_messages_wait(gate: threading.Event) -> None:
    sup = Supervisor.start([worker("a")])
    child = sup.child("a")
    hang(child, gate)
    assert child is not None
    for _ in range(3):
        child.tell("later")
    assert tree(sup)["children"][0]["mailbox"] == 3


def test_a_supervisor_that_does_not_answer_is_shown_as_such(gate: threading.Event) -> None:
    entered = threading.Event()

    def slow() -> Any:
        entered.set()
        offload(gate.wait, LIMIT)
        raise Boom

    sup = Supervisor.start([ChildSpec("inner", DynamicSupervisor.start, type="supervisor")])
    inner: Any = sup.child("inner")
    thread = threading.Thread(target=lambda: inner.start_child(ChildSpec("slow", slow, restart="temporary")))
    thread.daemon = True
    threading.excepthook, hook = lambda _args: None, threading.excepthook
    try:
        thread.start()
        assert entered.wait(LIMIT)
        assert tree(sup, timeout=0.0)["state"] == "unanswered"
        (node,) = tree(sup, timeout=0.2)["children"]
        assert (node["state"], node["children"]) == ("unanswered", [])
        gate.set()
        thread.join(LIMIT)
    finally:
        threading.excepthook = hook


def test_the_tree_of_a_dead_supervisor_is_one_stopped_node() -> None:
    sup = Supervisor.start([worker("a")])
    sup.stop(timeout=LIMIT)
    node = tree(sup)
    assert (node["state"], node["children"]) == ("stopped", [])


def test_the_tree_of_a_worker_is_one_node() -> None:
    node = tree(Worker.start())
    assert (node["type"], node["state"], node["children"]) == ("worker", "running", [])


def test_a_tree_is_drawn_with_a_line_an_actor() -> None:
    sup = shop()
    crash(sup.child("store"))
    assert format_tree(sup).splitlines() == [
        "Shop (supervisor, running)",
        "├── store (worker, running, restarts 1)",
        "├── carts (supervisor, running)",
        "│   └── cart (worker, running)",
        "└── tasks (supervisor, running)",
    ]
