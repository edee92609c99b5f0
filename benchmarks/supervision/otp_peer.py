"""OTP's own supervisor, if `erl` and `erlc` are on the path; `supervision_bench.erl` beside this has the measures."""

from __future__ import annotations

from pathlib import Path

from benchmarks.actors.measures import Finding, NotOfferedError, percentiles, rate
from benchmarks.erlang import Vm, start_vm
from benchmarks.supervision.measures import sizes

_SOURCE = Path(__file__).with_name("supervision_bench.erl")


class Otp:
    """See `Peer`."""

    def __init__(self, vm: Vm) -> None:
        self._vm = vm
        self.version = vm.version

    def measure(self, name: str, count: int) -> Finding:
        """See `Peer.measure`."""
        if name in ("restart", "restart-logged"):
            return percentiles(name, [value / 1e9 for value in self._vm.ask(name, count)])
        if name in ("storm", "tasks"):
            took, done = self._vm.ask(name, count)
            return rate(name, done, took / 1e9)
        if name in ("children", "dynamic"):
            return sizes(name, count, lambda size: self._once(name, size))
        raise NotOfferedError("not offered")

    def _once(self, name: str, size: int) -> tuple[float, float]:
        started, stopped = self._vm.ask(name, size)
        return started / 1e9, stopped / 1e9

    def close(self) -> None:
        """See `Peer.close`."""
        self._vm.close()


def connect(_kind: str) -> Otp:
    """The peer.

    Raises:
        MissingError: no Erlang, or it does not compile.
    """
    return Otp(start_vm(_SOURCE))
