"""Stands before a pool, and tells who asks it for a connection and whether it is given."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Protocol


class PoolSink(Protocol):
    """Who is told about a pool. Called on the host's threads; must not raise."""

    def asks(self) -> int:
        """A connection is asked for; answers a number for the other two."""
        ...

    def got(self, number: int, fairy: Any) -> None:
        """It was given."""
        ...

    def refused(self, number: int, error: BaseException) -> None:
        """It was not given."""
        ...


class PoolTap:
    """Stands in for ``pool.connect`` on one pool: SQLAlchemy has no event before a checkout, so none for the wait.

    Shared by all who watch one pool. It is an attribute of the instance over the class's method, and is taken away
    with the last sink, unless somebody else has wrapped it meanwhile: then it stays as a pass-through. It stands
    before ``pool.recreate`` too, by which an engine that is disposed of makes its next pool.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = weakref.ref(pool)
        self._before: Callable[[], Any] | None = vars(pool).get("connect")
        self._recreated_before: Callable[[], Any] | None = vars(pool).get("recreate")
        self.sinks: tuple[PoolSink, ...] = ()

    def __call__(self) -> Any:
        """What the host calls as ``pool.connect()``."""
        sinks = self.sinks
        numbers: list[int] = []
        try:
            for sink in sinks:
                numbers.append(sink.asks())  # noqa: PERF401 - who was told must hear the end, should we be interrupted
            fairy = self._connect()
        except BaseException as error:
            for sink, number in zip(sinks, numbers, strict=False):
                sink.refused(number, error)
            raise
        for sink, number in zip(sinks, numbers, strict=True):
            sink.got(number, fairy)
        return fairy

    def recreate(self) -> Any:
        """What an engine calls as ``pool.recreate()``: the next pool has the same sinks."""
        new = self._recreate()
        for sink in self.sinks:
            add(new, sink)
        return new

    def put_back(self, pool: Any) -> None:
        """Take it away where it still stands."""
        for name, mine, before in (
            ("connect", self, self._before),
            ("recreate", self.recreate, self._recreated_before),
        ):
            if vars(pool).get(name) != mine:
                continue
            if before is None:
                delattr(pool, name)
            else:
                setattr(pool, name, before)

    def _recreate(self) -> Any:
        if self._recreated_before is not None:
            return self._recreated_before()
        pool: Any = self._pool()
        return type(pool).recreate(pool)

    def _connect(self) -> Any:
        if self._before is not None:
            return self._before()
        pool: Any = self._pool()
        return type(pool).connect(pool)


def add(pool: Any, sink: PoolSink) -> None:
    """Tell `sink` about a pool; told already: nothing changes."""
    tap = vars(pool).get("connect")
    if not isinstance(tap, PoolTap):
        tap = pool.connect = PoolTap(pool)
        pool.recreate = tap.recreate
    if sink not in tap.sinks:
        tap.sinks = (*tap.sinks, sink)


def remove(pool: Any, sink: PoolSink) -> None:
    """Tell it no longer."""
    tap = vars(pool).get("connect")
    if not isinstance(tap, PoolTap):
        return
    tap.sinks = tuple(other for other in tap.sinks if other is not sink)
    if not tap.sinks:
        tap.put_back(pool)


def is_tapped(pool: Any, sink: PoolSink) -> bool:
    """Whether `sink` is told about a pool."""
    tap = vars(pool).get("connect")
    return isinstance(tap, PoolTap) and sink in tap.sinks
