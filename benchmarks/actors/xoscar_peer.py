"""xoscar with one in-process pool.

Its actors live on an asyncio loop, so the "thread" of a tell or a start is a coroutine of that loop, as its users write
it; only the ask comes from a foreign thread. Nothing tells an actor that another crashed, and an exception does not end
one, so there is no restart to measure.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from time import perf_counter
from typing import Any, TypeVar

import psutil
import xoscar  # pyright: ignore[reportMissingImports]

from benchmarks.actors.measures import RING, SAMPLE, Finding, choose, percentiles, rate, reached

T = TypeVar("T")
_Base: Any = xoscar.StatelessActor


class Worker(_Base):
    """Every role in one: xoscar finds the method by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.done: asyncio.Event | None = None
        self.next: Any = None

    def expect(self, count: int, done: asyncio.Event) -> None:
        self.left, self.done = count, done

    def follow(self, successor: Any, done: asyncio.Event) -> None:
        self.next, self.done = successor, done

    def echo(self, message: Any) -> Any:
        return message

    def count(self, _message: Any) -> None:
        self.left -= 1
        if not self.left and self.done is not None:
            self.done.set()

    async def hop(self, left: int) -> None:
        if left:
            await self.next.hop.tell(left - 1)
        elif self.done is not None:
            self.done.set()

    async def flood(self, other: Any, count: int) -> None:
        for number in range(count):
            await other.count.tell(number)

    async def ask_often(self, other: Any, count: int) -> float:
        began = perf_counter()
        for number in range(count):
            await other.echo(number)
        return perf_counter() - began

    async def spawn(self, address: str, count: int) -> float:
        began = perf_counter()
        for _ in range(count):
            await xoscar.destroy_actor(await xoscar.create_actor(Worker, address=address))
        return perf_counter() - began


class Xoscar:
    """See `Peer`."""

    def __init__(self) -> None:
        self.version = version("xoscar")
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._pool: Any = self._wait(xoscar.create_actor_pool("127.0.0.1:0", n_process=0))
        self._address: str = self._pool.external_address
        self._table: dict[str, Callable[[int], Finding]] = {
            "tell": lambda count: self._wait(self._tell(count)),
            "tell-between": lambda count: self._wait(self._tell_between(count)),
            "ask": self._ask,
            "ask-between": lambda count: self._wait(self._ask_between(count)),
            "spawn": lambda count: self._wait(self._spawn(count)),
            "spawn-inside": lambda count: self._wait(self._spawn_inside(count)),
            "ping-pong": lambda count: self._wait(self._circle("ping-pong", 2, count)),
            "ring": lambda count: self._wait(self._circle("ring", RING, count)),
            "memory": lambda count: self._wait(self._memory(count)),
            "live": lambda count: self._wait(self._live(count)),
        }

    def measure(self, name: str, count: int) -> Finding:
        """See `Peer.measure`."""
        return choose(self._table, name)(count)

    def close(self) -> None:
        """See `Peer.close`."""
        self._wait(self._pool.stop())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> Any:
        return await xoscar.create_actor(Worker, address=self._address)

    async def _end(self, *refs: Any) -> None:
        for ref in refs:
            await xoscar.destroy_actor(ref)

    async def _tell(self, count: int) -> Finding:
        counter, done = await self._start(), asyncio.Event()
        await counter.expect(count, done)
        began = perf_counter()
        for number in range(count):
            await counter.count.tell(number)
        await done.wait()
        took = perf_counter() - began
        await self._end(counter)
        return rate("tell", count, took)

    async def _tell_between(self, count: int) -> Finding:
        counter, teller, done = await self._start(), await self._start(), asyncio.Event()
        await counter.expect(count, done)
        began = perf_counter()
        await teller.flood.tell(counter, count)
        await done.wait()
        took = perf_counter() - began
        await self._end(counter, teller)
        return rate("tell-between", count, took)

    def _ask(self, count: int) -> Finding:
        echo = self._wait(self._start())

        async def ask(number: int) -> Any:
            return await echo.echo(number)

        samples = []
        for number in range(count):
            began = perf_counter()
            self._wait(ask(number))
            samples.append(perf_counter() - began)
        self._wait(self._end(echo))
        return percentiles("ask", samples)

    async def _ask_between(self, count: int) -> Finding:
        echo, asker = await self._start(), await self._start()
        took = await asker.ask_often(echo, count)
        await self._end(echo, asker)
        return Finding({"ask-between": took / count * 1e6})

    async def _spawn(self, count: int) -> Finding:
        began = perf_counter()
        for _ in range(count):
            await self._end(await self._start())
        return rate("spawn", count, perf_counter() - began)

    async def _spawn_inside(self, count: int) -> Finding:
        spawner = await self._start()
        took = await spawner.spawn(self._address, count)
        await self._end(spawner)
        return rate("spawn-inside", count, took)

    async def _circle(self, key: str, size: int, count: int) -> Finding:
        done = asyncio.Event()
        nodes = [await self._start() for _ in range(size)]
        for node, successor in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
            await node.follow(successor, done)
        began = perf_counter()
        await nodes[0].hop.tell(count)
        await done.wait()
        took = perf_counter() - began
        await self._end(*nodes)
        return rate(key, count, took)

    async def _memory(self, count: int) -> Finding:
        await self._end(await self._start())
        process = psutil.Process()
        gc.collect()
        before = process.memory_info().rss
        refs = [await self._start() for _ in range(count)]
        gc.collect()
        grown = process.memory_info().rss - before
        return Finding({"memory": grown / len(refs) / 1000}, f"{count:,} actors")

    async def _live(self, count: int) -> Finding:
        refs: list[Any] = []
        stopped_by = ""
        try:
            while len(refs) < count:
                refs.append(await self._start())
        except Exception as error:  # noqa: BLE001 - whatever ends it is the finding
            stopped_by = f"{type(error).__name__}: {error}"
        sample = refs[:: -(-len(refs) // SAMPLE) or 1]
        answered = 0
        for number, ref in enumerate(sample):
            answered += await ref.echo(number) == number
        return reached(count, len(refs), answered, len(sample), stopped_by)


def connect(_kind: str) -> Xoscar:
    """The peer."""
    return Xoscar()
