"""Erlang/OTP, if `erl` and `erlc` are on the path; the measures are in `actors_bench.erl` beside this.

What comes from a thread elsewhere comes from a process there: Erlang has nothing else. Memory is the growth of the
resident size of the whole VM, as for all others.
"""

from __future__ import annotations

from pathlib import Path

import psutil

from benchmarks.actors.measures import SAMPLE, Finding, NotOfferedError, percentiles, rate, reached
from benchmarks.erlang import Vm, start_vm

_SOURCE = Path(__file__).with_name("actors_bench.erl")
_RATES = ("tell", "tell-between", "spawn", "spawn-inside", "fan-in", "ping-pong", "ring")


class Erlang:
    """See `Peer`."""

    def __init__(self, vm: Vm) -> None:
        self._vm = vm
        self._ask = vm.ask
        self.version = vm.version

    def measure(self, name: str, count: int) -> Finding:
        """See `Peer.measure`."""
        if name in _RATES:
            return rate(name, count, self._ask(name, count)[0] / 1e9)
        if name in ("ask", "restart"):
            return percentiles(name, [value / 1e9 for value in self._ask(name, count)])
        if name == "ask-between":
            return Finding({name: self._ask(name, count)[0] / count / 1e3})
        if name == "memory":
            return self._memory(count)
        if name == "live":
            live, answered, sample = self._ask(name, count, SAMPLE)
            return reached(count, live, answered, sample, "system_limit")
        raise NotOfferedError("not offered")

    def close(self) -> None:
        """See `Peer.close`."""
        self._vm.close()

    def _memory(self, count: int) -> Finding:
        process = psutil.Process(self._vm.pid)
        self._ask("spawn", 100)
        before = process.memory_info().rss
        self._ask("live", count, 1)
        grown = process.memory_info().rss - before
        return Finding({"memory": grown / count / 1000}, f"{count:,} actors")


def connect(_kind: str) -> Erlang:
    """The peer.

    Raises:
        MissingError: no Erlang, or it does not compile.
    """
    return Erlang(start_vm(_SOURCE))
