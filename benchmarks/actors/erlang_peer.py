"""Erlang/OTP, if `erl` and `erlc` are on the path; the measures are in `actors_bench.erl` beside this.

What comes from a thread elsewhere comes from a process there: Erlang has nothing else. Memory is the growth of the
resident size of the whole VM, as for all others.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import psutil

from benchmarks.actors.measures import SAMPLE, Finding, MissingError, NotOfferedError, percentiles, rate, reached

_SOURCE = Path(__file__).with_name("actors_bench.erl")
_RATES = ("tell", "tell-between", "spawn", "spawn-inside", "fan-in", "ping-pong", "ring")
_FLAGS = ("-noshell", "+P", "1000000", "-kernel", "logger_level", "none")


class Erlang:
    """See `Peer`. One VM, which reads a measure and a count a line and writes a JSON list of nanoseconds."""

    def __init__(self, erl: str, erlc: str) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="actors-bench-")
        subprocess.run([erlc, "-o", self._directory.name, str(_SOURCE)], check=True, capture_output=True)
        self._vm = subprocess.Popen(
            [erl, *_FLAGS, "-pa", self._directory.name, "-s", "actors_bench", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version = f"OTP {self._ask('otp', 0)[0]}"

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
        if self._vm.stdin is not None:
            self._vm.stdin.close()
        self._vm.wait(10)
        self._directory.cleanup()

    def _memory(self, count: int) -> Finding:
        process = psutil.Process(self._vm.pid)
        self._ask("spawn", 100)
        before = process.memory_info().rss
        self._ask("live", count, 1)
        grown = process.memory_info().rss - before
        return Finding({"memory": grown / count / 1000}, f"{count:,} actors")

    def _ask(self, name: str, *numbers: int) -> list[int]:
        vm = self._vm
        if vm.stdin is None or vm.stdout is None:
            raise RuntimeError("the VM has no pipes")
        vm.stdin.write(" ".join(map(str, (name.replace("-", "_"), *numbers))) + "\n")
        vm.stdin.flush()
        line = vm.stdout.readline()
        if not line:
            raise RuntimeError(f"the Erlang VM ended in {name}")
        found: list[int] = json.loads(line)
        return found


def connect(_kind: str) -> Erlang:
    """The peer.

    Raises:
        MissingError: no Erlang, or it does not compile.
    """
    erl, erlc = shutil.which("erl"), shutil.which("erlc")
    if erl is None or erlc is None:
        raise MissingError("erl and erlc are not on the path (Debian: apt install erlang-base)")
    try:
        return Erlang(erl, erlc)
    except subprocess.CalledProcessError as error:
        raise MissingError(f"erlc failed: {error.stderr.decode(errors='replace')[-300:]}") from error
