"""The measures for whatever speaks Pykka's language, so that Pykka and Beamlens run the very same code.

`Roles` are what the actors do; a peer joins each with its own actor class.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Protocol, TypeAlias

import psutil
import pykka

from benchmarks.actors.measures import FAN_IN, RING, Finding, choose, percentiles, rate, reached

Ref: TypeAlias = pykka.ActorRef[Any]
Starter: TypeAlias = Callable[..., Ref]


class Role:
    """The handler of an idle actor."""

    flooded = False
    """Gets more messages at once than a bounded mailbox holds by default."""

    def on_receive(self, message: Any) -> Any:
        return message


class Counter(Role):
    """Counts down what it gets."""

    flooded = True

    def __init__(self, expected: int, done: threading.Event) -> None:
        super().__init__()
        self.left = expected
        self.done = done

    def on_receive(self, message: Any) -> Any:  # noqa: ARG002
        self.left -= 1
        if not self.left:
            self.done.set()


class Teller(Role):
    """Tells another one so many times."""

    def on_receive(self, message: tuple[Ref, int]) -> Any:
        other, count = message
        for number in range(count):
            other.tell(number)


class Asker(Role):
    """Asks another one so many times and answers with the seconds it took."""

    def on_receive(self, message: tuple[Ref, int]) -> Any:
        other, count = message
        began = perf_counter()
        for number in range(count):
            other.ask(number)
        return perf_counter() - began


class Spawner(Role):
    """Starts and stops so many, one after the other, and answers with the seconds it took."""

    def on_receive(self, message: tuple[Starter, int]) -> Any:
        start, count = message
        began = perf_counter()
        for _ in range(count):
            start().stop()
        return perf_counter() - began


class Node(Role):
    """Hands a token, the number of hops left, to the next one."""

    def __init__(self, done: threading.Event) -> None:
        super().__init__()
        self.done = done
        self.next: Ref | None = None

    def on_receive(self, message: Any) -> Any:
        if type(message) is not int:
            self.next = message
        elif not message:
            self.done.set()
        elif self.next is not None:
            self.next.tell(message - 1)


class Victim(Role):
    """Says when it starts, and crashes on any message."""

    def __init__(self, begun: SimpleQueue[float], parent: Ref | None = None) -> None:
        super().__init__()
        self.begun = begun
        self.parent = parent

    def on_start(self) -> None:
        self.begun.put(perf_counter())

    def on_receive(self, message: Any) -> Any:  # noqa: ARG002
        raise RuntimeError("meant")


class Parent(Role):
    """Starts a victim now, and another whenever one has ended."""

    def __init__(self, start: Starter, victims: SimpleQueue[Ref]) -> None:
        super().__init__()
        self.start_victim = start
        self.victims = victims

    def on_receive(self, message: Any) -> Any:
        """`message` is the parent's own ref."""
        self.victims.put(self.start_victim(message))


class Kit(Protocol):
    """How a peer joins roles with its actors."""

    def starter(self, role: type[Role]) -> Starter:
        """What starts one; takes the arguments of the role and returns after `on_start`, if the peer waits."""
        ...

    def restart_roles(self) -> tuple[type[Parent], type[Victim]]:
        """Roles in which the end of the victim reaches the parent."""
        ...


class PykkaStyle:
    """The measures; one object a process."""

    def __init__(self, kit: Kit, version: str) -> None:
        self.version = version
        self._kit = kit
        self._table: dict[str, Callable[[int], Finding]] = {
            "tell": self._tell,
            "tell-between": self._tell_between,
            "ask": self._ask,
            "ask-between": self._ask_between,
            "spawn": self._spawn,
            "spawn-inside": self._spawn_inside,
            "fan-in": self._fan_in,
            "ping-pong": self._ping_pong,
            "ring": self._ring,
            "restart": self._restart,
            "memory": self._memory,
            "live": self._live,
        }

    def measure(self, name: str, count: int) -> Finding:
        """See `Peer.measure`."""
        return choose(self._table, name)(count)

    def close(self) -> None:
        """See `Peer.close`."""

    def _start(self, role: type[Role], *args: Any) -> Ref:
        return self._kit.starter(role)(*args)

    def _tell(self, count: int) -> Finding:
        done = threading.Event()
        counter = self._start(Counter, count, done)
        began = perf_counter()
        for number in range(count):
            counter.tell(number)
        done.wait()
        took = perf_counter() - began
        counter.stop()
        return rate("tell", count, took)

    def _tell_between(self, count: int) -> Finding:
        done = threading.Event()
        counter, teller = self._start(Counter, count, done), self._start(Teller)
        began = perf_counter()
        teller.tell((counter, count))
        done.wait()
        took = perf_counter() - began
        teller.stop()
        counter.stop()
        return rate("tell-between", count, took)

    def _ask(self, count: int) -> Finding:
        echo = self._start(Role)
        samples = []
        for number in range(count):
            began = perf_counter()
            echo.ask(number)
            samples.append(perf_counter() - began)
        echo.stop()
        return percentiles("ask", samples)

    def _ask_between(self, count: int) -> Finding:
        echo, asker = self._start(Role), self._start(Asker)
        took: Any = asker.ask((echo, count))
        asker.stop()
        echo.stop()
        return Finding({"ask-between": took / count * 1e6})

    def _spawn(self, count: int) -> Finding:
        start = self._kit.starter(Role)
        began = perf_counter()
        for _ in range(count):
            start().stop()
        return rate("spawn", count, perf_counter() - began)

    def _spawn_inside(self, count: int) -> Finding:
        spawner = self._start(Spawner)
        took: Any = spawner.ask((self._kit.starter(Role), count))
        spawner.stop()
        return rate("spawn-inside", count, took)

    def _fan_in(self, count: int) -> Finding:
        each = count // FAN_IN
        done, go = threading.Event(), threading.Event()
        counter = self._start(Counter, each * FAN_IN, done)

        def send() -> None:
            go.wait()
            for number in range(each):
                counter.tell(number)

        threads = [threading.Thread(target=send, daemon=True) for _ in range(FAN_IN)]
        for thread in threads:
            thread.start()
        began = perf_counter()
        go.set()
        done.wait()
        took = perf_counter() - began
        counter.stop()
        return rate("fan-in", each * FAN_IN, took)

    def _ping_pong(self, count: int) -> Finding:
        return self._circle("ping-pong", 2, count)

    def _ring(self, count: int) -> Finding:
        return self._circle("ring", RING, count)

    def _circle(self, key: str, size: int, count: int) -> Finding:
        done = threading.Event()
        start = self._kit.starter(Node)
        nodes = [start(done) for _ in range(size)]
        for node, successor in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
            node.ask(successor)
        began = perf_counter()
        nodes[0].tell(count)
        done.wait()
        took = perf_counter() - began
        for node in nodes:
            node.stop()
        return rate(key, count, took)

    def _restart(self, count: int) -> Finding:
        begun: SimpleQueue[float] = SimpleQueue()
        victims: SimpleQueue[Ref] = SimpleQueue()
        parent_role, victim_role = self._kit.restart_roles()
        start = self._kit.starter(victim_role)
        parent = self._start(parent_role, lambda ref: start(begun, ref), victims)
        parent.tell(parent)
        begun.get()
        samples = []
        for _ in range(count):
            victim = victims.get()
            crashed = perf_counter()
            victim.tell("crash")
            samples.append(begun.get() - crashed)
        victims.get().stop()
        parent.stop()
        return percentiles("restart", samples)

    def _memory(self, count: int) -> Finding:
        start = self._kit.starter(Role)
        start().stop()
        refs: list[Ref | None] = [None] * count
        process = psutil.Process()
        gc.collect()
        before = process.memory_info().rss
        for number in range(count):
            refs[number] = start()
        gc.collect()
        grown = process.memory_info().rss - before
        return Finding({"memory": grown / count / 1000}, f"{count:,} actors")

    def _live(self, count: int) -> Finding:
        start = self._kit.starter(Role)
        refs: list[Ref] = []
        stopped_by = ""
        try:
            while len(refs) < count:
                refs.append(start())
        except Exception as error:  # noqa: BLE001 - whatever ends it is the finding
            stopped_by = f"{type(error).__name__}: {error}"
        answered = sum(ref.ask(number) == number for number, ref in enumerate(refs))
        return reached(count, len(refs), answered, len(refs), stopped_by)
