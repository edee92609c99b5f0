"""An example that runs, as its reader runs it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples"
PATIENCE = 100.0


def line_of(name: str, text: str) -> int:
    """The number of the one line of an example that holds a text."""
    lines = (FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()
    (found,) = [number for number, line in enumerate(lines, 1) if text in line]
    return found


class Example:
    """A process; what it prints, on either stream, is read as it comes."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.name = name
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BEAMLENS_")}
        environment.pop("ANTHROPIC_API_KEY", None)
        environment["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT, ROOT / "actors", ROOT / "supervision")))
        environment["PYTHONUNBUFFERED"] = "1"
        self._process = subprocess.Popen(
            [sys.executable, f"examples/{name}.py", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._over = False
        self._reader = threading.Thread(target=self._read, name=f"reads {name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    @property
    def said(self) -> list[str]:
        with self._changed:
            return list(self._lines)

    def _match(self, pattern: str) -> re.Match[str] | None:
        return next(filter(None, (re.search(pattern, line) for line in self._lines)), None)

    def line(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """Wait for a line that a pattern is found in."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._match(pattern), timeout)
            found = self._match(pattern)
        assert found, f"{self.name} did not say {pattern!r}, but:\n" + "\n".join(self._lines[-60:])
        return found

    def line_while_asked(self, pattern: str, path: str) -> re.Match[str]:
        """The same, while requests are made, one after the other."""
        port = int(self.line(r"http://127\.0\.0\.1:(\d+)")[1])
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not self._over:
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10.0)
                connection.request("GET", path)
                connection.getresponse().read()
                connection.close()
            with self._changed:
                if self._changed.wait_for(lambda: self._match(pattern), 0.05):
                    break
        return self.line(pattern, 0.0)

    def interrupt(self) -> int:
        """Ctrl-C; its exit code."""
        self._process.send_signal(signal.SIGINT)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; its exit code."""
        code = self._process.wait(PATIENCE)
        self._reader.join(10.0)
        return code

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10.0)
        self._reader.join(10.0)
        self._process.stdout.close()
