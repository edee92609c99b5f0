"""A large tree whose actors are killed at random from several threads; afterwards it is what its specification says.

`BEAMLENS_CHAOS_KILLS` and `BEAMLENS_CHAOS_SEED` choose how many ends, and which; `nox -s chaos` is a long run.
"""

from __future__ import annotations

import gc
import itertools
import logging
import os
import random
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pykka
import pytest

from beamlens_actors import Actor, ActorDead, ActorRef, Registry, Shutdown, abandoned
from beamlens_supervision import ChildSpec, Supervisor, SupervisorRef, tree

KILLS = int(os.environ.get("BEAMLENS_CHAOS_KILLS", "2000"))
SEED = int(os.environ.get("BEAMLENS_CHAOS_SEED", "1"))
KILLERS = 4
SUPERVISORS = 12
LIMIT = 60.0
STRATEGIES = ("one_for_one", "one_for_one", "rest_for_one", "one_for_all")

alive: weakref.WeakSet[Any] = weakref.WeakSet()
"""Every actor object there is."""


class Worker(Actor):
    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self.registry = registry
        alive.add(self)

    def on_start(self) -> None:
        pass

    def on_receive(self, message: Any) -> Any:
        if message == "crash":
            raise RuntimeError("meant")
        if isinstance(message, tuple):
            # A hop to another worker, so that some are killed in the middle of it.
            key, *rest = message
            other = self.registry.lookup(key)
            if other is not None and rest:
                try:
                    other.tell(tuple(rest))
                except ActorDead:
                    pass
        return "pong"


class Team(Supervisor):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        alive.add(self)


def is_permanent(key: int) -> bool:
    return key % 3 != 0


def worker_spec(registry: Registry, key: int) -> ChildSpec:
    start = Worker.options(register=(registry, key)).start
    shutdown: Any = "brutal_kill" if key % 5 == 0 else 5.0
    return ChildSpec(
        key, start, (registry,), restart="permanent" if is_permanent(key) else "transient", shutdown=shutdown
    )


class Tree:
    """The specification: teams and their workers; and the running tree."""

    def __init__(self, actors: int) -> None:
        self.registry = Registry()
        self.keys = range(actors - 1 - SUPERVISORS)
        self.teams = {f"team-{number}": list(self.keys[number::SUPERVISORS]) for number in range(SUPERVISORS)}
        specs = [ChildSpec(name, self._team, (name,), type="supervisor") for name in self.teams]
        self.root = Team.start(specs, max_restarts=10**9)

    def _team(self, name: str) -> SupervisorRef:
        number = int(name.partition("-")[2])
        # Some give up now and then, which their supervisor mends.
        return Team.start(
            [worker_spec(self.registry, key) for key in self.teams[name]],
            strategy=STRATEGIES[number % len(STRATEGIES)],  # type: ignore[arg-type]
            max_restarts=5 if number % 3 == 0 else 10**9,
            max_seconds=1.0,
        )

    def expected(self) -> dict[str, list[tuple[str, str]]]:
        return {name: [(str(key), "running") for key in keys] for name, keys in self.teams.items()}

    def shown(self) -> dict[str, list[tuple[str, str]]]:
        nodes = tree(self.root, timeout=LIMIT)["children"]
        return {str(node["id"]): [(str(leaf["id"]), leaf["state"]) for leaf in node["children"]] for node in nodes}

    def quiesce(self) -> list[SupervisorRef]:
        """Wait until nothing is being restarted; the teams.

        Whoever ended was joined, so what its end leads to stands in its supervisor's mailbox before the questions here.
        """
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            teams = [info.ref for info in self.root.which_children(timeout=LIMIT)]
            try:
                shown = [ref.which_children(timeout=LIMIT) for ref in teams]  # type: ignore[union-attr]
            except (ActorDead, AttributeError):
                continue  # a team is being restarted, or has just given up
            if all(info.state != "restarting" for children in shown for info in children):
                return cast("list[SupervisorRef]", teams)
        raise AssertionError("the tree does not come to rest")


class Killer:
    """Ends actors of a tree, the same ones in the same order from the same seed; who is hit depends on the rest."""

    def __init__(self, victims: Tree, seed: int) -> None:
        self.victims = victims
        self.random = random.Random(seed)

    def run(self, times: int) -> None:
        for _ in range(times):
            if self.random.random() < 0.02:
                self._end_team()
            else:
                self._end_worker()

    def _end_team(self) -> None:
        ref = self.victims.root.child(self.random.choice(list(self.victims.teams)), timeout=LIMIT)
        if ref is not None:
            if self.random.random() < 0.5:
                ref.kill()
            else:
                ref.stop(Shutdown(), block=False)
            ref.join(LIMIT)

    def _end_worker(self) -> None:
        pick = self.random
        key = pick.choice(self.victims.keys)
        how = pick.choice(["kill", "crash", "exit", "normal"])
        route = tuple(pick.choices(self.victims.keys, k=4))
        ref = self.victims.registry.lookup(key)
        if ref is None:
            return  # being restarted
        try:
            ref.tell(route)
            self._end(ref, key, how)
            answer: Any = ref.ask("ping", timeout=LIMIT)
        except ActorDead:
            pass
        else:
            assert answer == "pong"
        ref.join(LIMIT)

    def _end(self, ref: ActorRef[Any], key: int, how: str) -> None:
        if how == "kill":
            ref.kill()
        elif how == "crash":
            ref.tell("crash")
        elif is_permanent(key):
            # A transient one would not come back after these.
            ref.stop(block=False) if how == "normal" else ref.exit(Shutdown("chaos"))
        else:
            ref.kill()


ACTORS = {"greenlets": 1_000, "threads": 200}


@pytest.mark.timeout(1800 if "BEAMLENS_CHAOS_KILLS" in os.environ else 120)
def test_after_random_kills_a_tree_is_what_it_was_and_leaves_nothing_behind(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (None, "beamlens_actors", "beamlens_supervision"):
        caplog.set_level(logging.CRITICAL + 1, logger=name)
    actors = ACTORS[backend]
    Worker.start(Registry()).stop()  # the threads that a backend keeps
    before = set(threading.enumerate())
    greenlets = waiting_greenlets() if backend == "greenlets" else []  # of hubs that other tests had
    alive.clear()
    grown = Tree(actors)
    assert len(pykka.ActorRegistry.get_all()) == actors
    killers = [Killer(grown, SEED * 100 + number) for number in range(KILLERS)]
    with ThreadPoolExecutor(KILLERS) as pool:
        list(pool.map(lambda killer: killer.run(KILLS // KILLERS), killers))

    teams = grown.quiesce()
    assert grown.shown() == grown.expected()
    workers = list(itertools.chain.from_iterable(team.which_children() for team in teams))
    assert {info.id: info.ref for info in workers} == {key: grown.registry.lookup(key) for key in grown.keys}
    assert all(info.ref is not None and info.ref.ask("ping", timeout=LIMIT) == "pong" for info in workers)
    let_go(before)
    every: list[Any] = [grown.root, *teams, *(info.ref for info in workers)]
    assert set(pykka.ActorRegistry.get_all()) == set(every)
    assert sorted(map(bonds, every)) == sorted(
        [(SUPERVISORS, SUPERVISORS)]
        + [(len(keys), len(keys) + 1) for keys in grown.teams.values()]
        + [(0, 1) for _ in grown.keys]
    )
    gc.collect()
    assert len(alive) == actors

    assert grown.root.stop(timeout=LIMIT)
    del teams, workers, every, killers
    let_go(before)
    assert pykka.ActorRegistry.get_all() == []
    assert grown.registry.count() == 0
    assert set(threading.enumerate()) - before == set()
    gc.collect()
    assert len(alive) == 0
    if backend == "greenlets":
        assert_no_greenlet_waits(but=greenlets)


def bonds(ref: ActorRef[Any]) -> tuple[int, int]:
    """How many actors it monitors, and how many it is linked to."""
    found = ref._cell.bonds._tables
    return len(found.monitored), len(found.links)


def let_go(before: set[threading.Thread]) -> None:
    """Wait for the threads that were killed while busy: a handler here takes no time."""
    for thread in abandoned():
        thread.join(LIMIT)
    assert abandoned() == []


def waiting_greenlets() -> list[object]:
    from beamlens_actors.backends.hub import Worker as HubWorker

    gc.collect()
    return [found for found in gc.get_objects() if type(found) is HubWorker and found]


def assert_no_greenlet_waits(but: list[object]) -> None:
    from beamlens_actors.backends.greenlets import get_greenlets

    backend = get_greenlets()
    hub = backend._hub
    assert hub is not None
    done = threading.Event()
    hub.call(done.set)  # behind what it had to do
    assert done.wait(LIMIT)
    assert backend._cells == {}
    assert [found for found in waiting_greenlets() if found not in but and found not in hub._spare] == []
