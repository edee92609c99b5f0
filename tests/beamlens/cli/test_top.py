"""`beamlens top` on a real terminal: what it writes is looked at byte by byte."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

import pytest

from tests.support.hosts import Host

LEAVES_SCREEN = b"\x1b[?1049l"
SHOWS_CURSOR = b"\x1b[?25h"
# What rich itself writes: colours, the cursor, the screen.
OWN = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(autouse=True)
def runtime(monkeypatch):
    folder = tempfile.mkdtemp(prefix="bl")
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    yield
    shutil.rmtree(folder)


def _without_size():
    """The environment, without the size of the terminal that the tests themselves run in."""
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}


class Terminal:
    def __init__(self, *words, rows=40, columns=100, **environment):
        self.outside, inside = pty.openpty()
        self.size(rows, columns)
        self.inside = inside
        self.before = termios.tcgetattr(inside)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "beamlens", "top", "--interval", "0.2", *words],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - Ctrl-C needs it
            env={**_without_size(), "TERM": "xterm-256color", **environment},
        )
        self.seen = b""

    def size(self, rows, columns):
        fcntl.ioctl(self.outside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.outside, keys)

    def read(self, seconds):
        ready, _, _ = select.select([self.outside], [], [], seconds)
        if ready:
            self.seen += os.read(self.outside, 65_536)
        return bool(ready)

    def until(self, words, most=40.0):
        end = time.monotonic() + most
        while words not in self.seen and time.monotonic() < end:
            self.read(1.0)
        assert words in self.seen, self.seen[-2000:]

    def end(self):
        code = None
        while code is None:
            self.read(0.1)
            code = self.process.poll()
        while self.read(0.1):
            pass
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)
        os.close(self.inside)
        os.close(self.outside)


def given_back(terminal):
    assert LEAVES_SCREEN in terminal.seen
    assert SHOWS_CURSOR in terminal.seen[terminal.seen.rindex(LEAVES_SCREEN) - 20 :]
    assert termios.tcgetattr(terminal.inside) == terminal.before


@pytest.mark.parametrize("keys", [b"q", b"Q", b"\x03"])
def test_it_shows_the_process_and_leaves_the_terminal_as_it_was(keys):
    with Host() as host, Terminal(str(host.pid)) as terminal:
        terminal.until(f"beamlens in process {host.pid}: healthy".encode())
        terminal.until("└── ControlServer".encode())
        terminal.type(keys)
        assert terminal.end() == 0
        given_back(terminal)


def test_a_signal_that_ends_it_leaves_the_terminal_as_it_was():
    with Host() as host, Terminal(str(host.pid)) as terminal:
        terminal.until(b"supervision tree")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 0
        given_back(terminal)


def test_it_follows_the_size_of_the_window():
    with Host() as host, Terminal(str(host.pid), columns=100) as terminal:
        terminal.until("╭".encode())
        terminal.until(b"supervision tree")
        terminal.seen = b""
        terminal.size(30, 60)
        os.kill(terminal.process.pid, signal.SIGWINCH)
        terminal.until(("╰" + "─" * 58 + "╯").encode())
        terminal.type(b"q")
        assert terminal.end() == 0


def test_the_end_of_the_process_is_told():
    with Host() as host, Terminal(str(host.pid)) as terminal:
        terminal.until(b"supervision tree")
        host.kill()
        assert terminal.end() == 1
        given_back(terminal)
        assert f"process {host.pid} has ended, or stopped being watched".encode() in terminal.seen


def test_a_process_that_hangs_is_told_and_keys_still_work():
    with Host() as host, Terminal(str(host.pid)) as terminal:
        terminal.until(b"supervision tree")
        os.kill(host.pid, signal.SIGSTOP)
        try:
            terminal.until(b"no answer for")
            terminal.type(b"q")
            assert terminal.end() == 0
        finally:
            os.kill(host.pid, signal.SIGCONT)
        given_back(terminal)


def test_a_closed_terminal_ends_it():
    with Host() as host, Terminal(str(host.pid)) as terminal:
        terminal.until(b"supervision tree")
        os.kill(terminal.process.pid, signal.SIGHUP)
        assert terminal.end() == 0


EVIL = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202e[bold]"
HOSTILE = """
from beamlens import Alert, Snapshot
lens = Beamlens.start(watchers=["logger"], operators=[], control=True, name=sys.argv[1])
lens._parts.inbox.offer(Alert(watcher="logger", anomaly_type="x", severity="critical", context="c",
    observation="saw " + sys.argv[1], snapshots=(Snapshot(data={}),), node="n", instance="i", trace_id="0" * 32))
"""


def test_text_of_the_host_is_shown_and_not_obeyed_and_no_color_is_honoured():
    with Host(HOSTILE, EVIL) as host, Terminal(str(host.pid), NO_COLOR="1", columns=200) as terminal:
        terminal.until(b"saw \\x1b]0;owned\\x07\\x1b[31mred\\x9b2J\\u202e[bold]")
        terminal.type(b"q")
        assert terminal.end() == 0
    written = OWN.sub(b"", terminal.seen)
    assert b"\x1b" not in written
    assert b"\x07" not in written
    assert "\u202e".encode() not in written
    assert "\x9b".encode() not in written
    colours = [
        one for one in OWN.findall(terminal.seen) if one.endswith(b"m") and re.search(rb"[\[;](3|4|9)[0-9]", one)
    ]
    assert colours == []
