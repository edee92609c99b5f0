"""Thespian: `simpleSystemBase` runs all actors in the calling thread, `multiprocQueueBase` each in a process.

It has no ask from inside an actor, no blocking stop, and an exception does not end an actor (the message is tried again
and then returned to its sender), so the measures that need those are not offered.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import version
from time import perf_counter
from typing import Any

import psutil
from thespian.actors import Actor, ActorExitRequest, ActorSystem  # pyright: ignore[reportMissingImports]

from benchmarks.actors.measures import (
    RING,
    SAMPLE,
    Finding,
    MissingError,
    NotOfferedError,
    choose,
    percentiles,
    rate,
    reached,
)

_Base: Any = Actor
_SLOW = timedelta(seconds=60)
_QUIET = {"version": 1, "disable_existing_loggers": True, "root": {"level": "CRITICAL"}}


class Echo(_Base):
    """Answers with what it gets."""

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802 - Thespian's name
        if not isinstance(message, ActorExitRequest):
            self.send(sender, message)


class Counter(_Base):
    """Counts what it gets, and answers "count" with it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802
        if message == "count":
            self.send(sender, self.seen)
        elif isinstance(message, int):
            self.seen += 1


class Node(_Base):
    """Hands a token to the next one; the last hop is reported to who asked."""

    def __init__(self) -> None:
        super().__init__()
        self.next: Any = None
        self.asker: Any = None

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802
        if isinstance(message, ActorExitRequest):
            return
        if isinstance(message, tuple):
            kind, value, asker = message
            if kind == "next":
                self.next = value
                self.send(sender, "ready")
            elif value:
                self.send(self.next, (kind, value - 1, asker or sender))
            else:
                self.send(asker, "done")


class Thespian:
    """See `Peer`."""

    def __init__(self, base: str) -> None:
        self.version = version("thespian")
        self._system = ActorSystem(base, logDefs=_QUIET, transientUnique=True)
        self._table: dict[str, Callable[[int], Finding]] = {
            "tell": self._tell,
            "ask": self._ask,
            "spawn": self._spawn,
            "ping-pong": self._ping_pong,
            "ring": self._ring,
            "memory": self._memory,
            "live": self._live,
        }
        if base != "simpleSystemBase":
            for name in ("ring", "memory", "live"):
                self._table[name] = _processes

    def measure(self, name: str, count: int) -> Finding:
        """See `Peer.measure`."""
        return choose(self._table, name)(count)

    def close(self) -> None:
        """See `Peer.close`."""
        self._system.shutdown()

    def _ask_of(self, address: Any, message: Any) -> Any:
        answer = self._system.ask(address, message, _SLOW)
        if answer is None:
            raise TimeoutError(f"no answer within {_SLOW}")
        return answer

    def _tell(self, count: int) -> Finding:
        counter = self._system.createActor(Counter)
        began = perf_counter()
        for number in range(count):
            self._system.tell(counter, number)
        seen = self._ask_of(counter, "count")
        took = perf_counter() - began
        if seen != count:
            raise RuntimeError(f"{seen} of {count} messages arrived")
        self._system.tell(counter, ActorExitRequest())
        return rate("tell", count, took)

    def _ask(self, count: int) -> Finding:
        echo = self._system.createActor(Echo)
        samples = []
        for _ in range(count):
            began = perf_counter()
            self._ask_of(echo, "hello")
            samples.append(perf_counter() - began)
        self._system.tell(echo, ActorExitRequest())
        return percentiles("ask", samples)

    def _spawn(self, count: int) -> Finding:
        """Starting does not wait for the actor here, nor stopping for its end."""
        began = perf_counter()
        for _ in range(count):
            self._system.tell(self._system.createActor(Echo), ActorExitRequest())
        return rate("spawn", count, perf_counter() - began)

    def _ping_pong(self, count: int) -> Finding:
        return self._circle("ping-pong", 2, count)

    def _ring(self, count: int) -> Finding:
        return self._circle("ring", RING, count)

    def _circle(self, key: str, size: int, count: int) -> Finding:
        nodes = [self._system.createActor(Node) for _ in range(size)]
        for node, successor in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
            self._ask_of(node, ("next", successor, None))
        began = perf_counter()
        self._ask_of(nodes[0], ("token", count, None))
        took = perf_counter() - began
        for node in nodes:
            self._system.tell(node, ActorExitRequest())
        return rate(key, count, took)

    def _memory(self, count: int) -> Finding:
        refs = [self._system.createActor(Echo)]
        self._ask_of(refs[0], "hello")
        gc.collect()
        process = psutil.Process()
        before = process.memory_info().rss
        refs += [self._system.createActor(Echo) for _ in range(count)]
        self._ask_of(refs[-1], "hello")
        grown = process.memory_info().rss - before
        return Finding({"memory": grown / count / 1000}, f"{count:,} actors")

    def _live(self, count: int) -> Finding:
        refs: list[Any] = []
        stopped_by = ""
        try:
            while len(refs) < count:
                refs.append(self._system.createActor(Echo))
        except Exception as error:  # noqa: BLE001 - whatever ends it is the finding
            stopped_by = f"{type(error).__name__}: {error}"
        sample = refs[:: -(-len(refs) // SAMPLE) or 1]
        answered = sum(self._system.ask(ref, "hello", _SLOW) == "hello" for ref in sample)
        return reached(count, len(refs), answered, len(sample), stopped_by)


def _processes(_count: int) -> Finding:
    raise NotOfferedError("one operating-system process for each actor, so thousands are not tried")


def connect(kind: str) -> Thespian:
    """The peer on the system base `kind`.

    Raises:
        MissingError: that base does not start here.
    """
    try:
        return Thespian(kind)
    except Exception as error:
        raise MissingError(f"{kind} does not start: {type(error).__name__}: {error}") from error
