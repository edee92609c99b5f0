"""No actors at all: bare threads, locks and queues doing the least that each measure could mean.

A runtime with a thread for each actor cannot be faster than this on the same interpreter and machine, so the ratios of
this column say how far its own can go at all.
"""

from __future__ import annotations

import gc
import platform
import threading
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from queue import SimpleQueue
from time import perf_counter
from typing import Any

import psutil

from benchmarks.actors.measures import RING, Finding, choose, percentiles, rate


class Floor:
    """See `Peer`."""

    def __init__(self) -> None:
        self.version = platform.python_version()
        self._table: dict[str, Callable[[int], Finding]] = {
            "tell": self._tell,
            "ask": self._ask,
            "ask-between": self._ask_between,
            "spawn": lambda count: self._spawn("spawn", count),
            "spawn-inside": lambda count: self._spawn("spawn-inside", count),
            "ping-pong": lambda count: self._circle("ping-pong", 2, count),
            "memory": self._memory,
            "ring": lambda count: self._circle("ring", RING, count),
        }

    def measure(self, name: str, count: int) -> Finding:
        """See `Peer.measure`."""
        return choose(self._table, name)(count)

    def close(self) -> None:
        """See `Peer.close`."""

    def _tell(self, count: int) -> Finding:
        """Through a queue, counted by its reader."""
        queue: SimpleQueue[int] = SimpleQueue()
        done = threading.Event()

        def read() -> None:
            for _ in range(count):
                queue.get()
            done.set()

        threading.Thread(target=read, daemon=True).start()
        began = perf_counter()
        for number in range(count):
            queue.put(number)
        done.wait()
        return rate("tell", count, perf_counter() - began)

    def _ask(self, count: int) -> Finding:
        return percentiles("ask", self._round_trips(count))

    def _ask_between(self, count: int) -> Finding:
        return Finding({"ask-between": sum(self._round_trips(count)) / count * 1e6})

    def _round_trips(self, count: int) -> list[float]:
        """One lock there, one back."""
        there, back = _held(), _held()

        def answer() -> None:
            for _ in range(count):
                there.acquire()
                back.release()

        threading.Thread(target=answer, daemon=True).start()
        samples = []
        for _ in range(count):
            began = perf_counter()
            there.release()
            back.acquire()
            samples.append(perf_counter() - began)
        return samples

    def _spawn(self, key: str, count: int) -> Finding:
        """A thread says that it runs, waits for its stop, and says that it ends."""
        began = perf_counter()
        for _ in range(count):
            runs, stop, ended = _held(), _held(), _held()
            start_new_thread(_live, (runs, stop, ended))
            runs.acquire()
            stop.release()
            ended.acquire()
        return rate(key, count, perf_counter() - began)

    def _circle(self, key: str, size: int, count: int) -> Finding:
        """A lock for each thread, released by the one before it."""
        locks = [_held() for _ in range(size)]
        done = _held()
        rounds = count // size

        def hop(mine: Any, following: Any, last: Any) -> None:
            for _ in range(rounds):
                mine.acquire()
                following.release()
            if last is not None:
                last.release()

        for number in range(size):
            last = done if number == size - 1 else None
            threading.Thread(target=hop, args=(locks[number], locks[(number + 1) % size], last), daemon=True).start()
        began = perf_counter()
        locks[0].release()
        done.acquire()
        return rate(key, rounds * size, perf_counter() - began)

    def _memory(self, count: int) -> Finding:
        """Of a thread that waits for its stop in one Python frame."""
        process = psutil.Process()
        gc.collect()
        before = process.memory_info().rss
        stops = []
        for _ in range(count):
            runs, stop = _held(), _held()
            start_new_thread(_live, (runs, stop, _held()))
            runs.acquire()
            stops.append(stop)
        gc.collect()
        grown = process.memory_info().rss - before
        return Finding({"memory": grown / len(stops) / 1000}, f"{count:,} threads")


def _held() -> Any:
    lock = allocate_lock()
    lock.acquire()
    return lock


def _live(runs: Any, stop: Any, ended: Any) -> None:
    runs.release()
    stop.acquire()
    ended.release()


def connect(_kind: str) -> Floor:
    """The peer."""
    return Floor()
