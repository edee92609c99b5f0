"""Watched processes, for tests from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time

BEGIN = """
import os, signal, sys, threading, time
from beamlens import Beamlens
"""

END = """
print("ready", flush=True)
sys.stdin.read()
for one in list(__import__("beamlens.application.instances").application.instances._instances.values()):
    one.stop()
"""

CONTROLLED = 'lens = Beamlens.start(watchers=["logger"], operators=[], control=True)'


class Host:
    """A process that runs a program, says that it is ready, and ends when it is told to."""

    def __init__(self, source=CONTROLLED, *arguments, **environment):
        program = BEGIN + textwrap.dedent(source) + END
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.pid = self.process.pid
        self.said = []
        for line in self.process.stdout:
            if line == "ready\n":
                return
            self.said.append(line.rstrip("\n"))
        self.__exit__()
        raise AssertionError("the host ended before it was ready")

    def kill(self):
        """As the OOM killer does."""
        self.process.kill()
        self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.process.stdout.close()


def command(*arguments, timeout=60, **environment):
    """Run `beamlens`."""
    return subprocess.run(
        [sys.executable, "-m", "beamlens", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **environment},
    )


def eventually(condition, most=30.0):
    """Wait in real time for what another process or thread brings about; its last value."""
    end = time.monotonic() + most
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    assert found, "it did not come about"
    return found
