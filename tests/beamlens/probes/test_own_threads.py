from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest

from beamlens.probes import own_threads, stacks
from beamlens.probes.frames import Frame
from beamlens_actors import Actor
from beamlens_actors.backends.threads import spawn
from beamlens_supervision import TaskSupervisor

PROGRAM = """
import json, threading
from beamlens import Beamlens, CauseKind, Domain, Evidence, Metric, Strength
from beamlens.agent import Agent
from beamlens.domains import built_in_names, required_argument
from beamlens.probes import own_threads, stacks
from beamlens.probes.sampler import sampler
from beamlens.telemetry import signal
from beamlens.testing import ScriptedClient
from beamlens_actors import Actor
from beamlens_actors.testing import FakeClock


class Clerk(Actor):
    "One of the program's."


class Till(Domain):
    "A till that is full, so that its watcher raises an alert and the coordinator looks into it."

    name, title = "till", "Till"
    metrics = (Metric("coins", high=1, critical=2),)

    def snapshot(self):
        return {"coins": 3}

    def evidence(self, sensor, /):
        return [Evidence(text="coins is 3", cause=CauseKind.QUEUE_GROWTH, strength=Strength.CONCLUSIVE)]


def main(fake):
    clerk = Clerk.options(name="clerk").start()
    done, over = threading.Event(), threading.Event()
    taken = {"stacks": set(), "sampler": set(), "without frames": set(), "all": set()}

    def look():
        while not over.wait(0.002):
            taken["stacks"] |= {stack.name for stack in stacks.look()}
            taken["sampler"] |= {state.name for state in sampler.states()}
            taken["without frames"] |= {thread.name for thread in own_threads.host_threads()}
            taken["all"] |= {thread.name for thread in threading.enumerate()}

    looking = threading.Thread(target=look, name="looking", daemon=True)
    looking.start()

    def on_done(*_sender, **_said):
        done.set()

    signal("coordinator.done").connect(on_done)
    names = [name for name in built_in_names() if required_argument(name) is None]
    lens = Beamlens.start(watchers=[*names, Till])
    agent = Agent.start("s", [], ScriptedClient(["Fine."]), core=lens.agent_core)
    agent.prompt("Go.")
    agent.wait_for_idle(60)
    while not done.wait(0.01):
        fake.advance(0.05)  # five times as quick as it is
    over.set()
    looking.join()
    agent.stop()
    lens.stop()
    clerk.stop()
    print(json.dumps({name: sorted(found) for name, found in taken.items()} | {"done": done.is_set()}))


with FakeClock() as fake:
    main(fake)
"""


@pytest.fixture
def over():
    event = threading.Event()
    yield event
    event.set()


def seen(name):
    return [stack.name for stack in stacks.look() if stack.name == name]


def test_no_thread_of_an_instance_with_all_domains_is_the_programs():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("done")
    everybody = set(found.pop("all"))
    assert {"agent:", "allocator:", "coordinator", "operator:", "watcher:"} <= {
        name.partition(":")[0] + (":" if ":" in name else "") for name in everybody
    }
    assert found == {
        "sampler": ["MainThread", "clerk", "looking"],
        "stacks": ["MainThread", "clerk"],
        "without frames": ["MainThread", "clerk", "looking"],
    }


def test_an_idle_actor_of_the_programs_is_the_programs():
    class Clerk(Actor):
        def on_receive(self, message):
            return message

    ref = Clerk.options(name="clerk", backend="threads").start()
    try:
        ref.ask(1)
        assert seen("clerk") == ["clerk"]
    finally:
        ref.stop()


def test_a_task_of_the_programs_under_our_supervisor_is_the_programs(over):
    begun = threading.Event()

    def work():
        threading.current_thread().name = "work"
        begun.set()
        over.wait(30)

    supervisor = TaskSupervisor.start()
    try:
        supervisor.run_nolink(work)
        begun.wait(30)
        assert seen("work") == ["work"]
        over.set()
    finally:
        supervisor.stop()


def test_a_thread_of_ours_is_ours_whatever_library_it_is_in(over):
    thread = spawn(lambda: over.wait(30), "beamlens-server")
    ident = thread.ident or 0
    inside = [Frame("/lib/site-packages/driver.py", 1, "execute", "driver")]
    assert own_threads.is_own(ident, "beamlens-server", inside)
    assert not own_threads.is_own(threading.get_ident(), "beamlens-server", inside)
    over.set()
    thread.join(30)


def test_the_hub_is_judged_by_what_it_runs(over):
    thread = spawn(lambda: over.wait(30), "beamlens-hub")
    ident = thread.ident or 0
    assert own_threads.is_own(ident, "beamlens-hub")
    assert not own_threads.is_own(ident, "beamlens-hub", [Frame("/srv/shop.py", 1, "work", "shop")])
    over.set()
    thread.join(30)
