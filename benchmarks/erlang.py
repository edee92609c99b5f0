"""An Erlang VM that measures: it reads a name and numbers a line, and writes a JSON list of whole numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.actors.measures import MissingError

_FLAGS = ("-noshell", "+P", "1000000", "-kernel", "logger_level", "none")


class Vm:
    """One VM with one module, whose `serve/0` reads and writes."""

    def __init__(self, erl: str, erlc: str, source: Path) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="beamlens-bench-")
        subprocess.run([erlc, "-o", self._directory.name, str(source)], check=True, capture_output=True)
        self._process = subprocess.Popen(
            [erl, *_FLAGS, "-pa", self._directory.name, "-s", source.stem, "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self.version = f"OTP {self.ask('otp', 0)[0]}"

    def ask(self, name: str, *numbers: int) -> list[int]:
        """Have it do the measure `name`."""
        vm = self._process
        if vm.stdin is None or vm.stdout is None:
            raise RuntimeError("the VM has no pipes")
        vm.stdin.write(" ".join(map(str, (name.replace("-", "_"), *numbers))) + "\n")
        vm.stdin.flush()
        line = vm.stdout.readline()
        if not line:
            raise RuntimeError(f"the Erlang VM ended in {name}")
        found: list[int] = json.loads(line)
        return found

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=10)
        self._directory.cleanup()


def start_vm(source: Path) -> Vm:
    """A VM with the module in `source`.

    Raises:
        MissingError: no Erlang, or the module does not compile.
    """
    erl, erlc = shutil.which("erl"), shutil.which("erlc")
    if erl is None or erlc is None:
        raise MissingError("erl and erlc are not on the path (Debian: apt install erlang-base)")
    try:
        return Vm(erl, erlc, source)
    except subprocess.CalledProcessError as error:
        said = (error.stdout + error.stderr).decode(errors="replace")[-300:]
        raise MissingError(f"erlc failed: {said}") from error
