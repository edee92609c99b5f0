"""Generated Lua against the sandbox, for `BEAMLENS_LUA_FUZZ_SECONDS` from `BEAMLENS_LUA_FUZZ_SEED`."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import get_args

import psutil
import pytest

from beamlens.lua import LuaError, Sandbox
from beamlens.lua.errors import LuaErrorKind
from tests.support.lua_programs import MOST_CODE, program

SECONDS = float(os.environ.get("BEAMLENS_LUA_FUZZ_SECONDS", "4"))
SEED = int(os.environ.get("BEAMLENS_LUA_FUZZ_SEED", "1"))
TIMEOUT = 0.4
GRACE = 10.0  # nothing hangs; how fast a loaded machine is stands elsewhere
MEMORY_MB = 16
MOST_RESIDENT = 90_000_000  # Python, its libraries, twice Lua's memory, and the largest results while they are copied


def fail():
    raise ZeroDivisionError("secret text")


CALLBACKS = {
    "echo": lambda *values: list(values),
    "fail": fail,
    "big": lambda: "x" * 900_000,
    "holes": lambda: [1, None, {"a": [None]}, None],
}


class Resident:
    """The most memory that a worker of a sandbox was seen with, looked at all the time."""

    def __init__(self, sandbox):
        self.most = 0
        self._sandbox = sandbox
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._ended.set()
        self._thread.join(20)

    def _watch(self):
        while not self._ended.wait(0.01):
            worker = self._sandbox._slot._worker
            try:
                status = Path(f"/proc/{worker.pid}/status").read_text()
            except (AttributeError, OSError):
                continue
            name, _, text = status.partition("\nVmHWM:")
            if text and "python" in name:
                self.most = max(self.most, int(text.split()[0]) * 1024)


def outcome(sandbox, code):
    """The kind of error, or ``ok``; anything but a JSON value or a Lua error fails."""
    sandbox._timeout = TIMEOUT
    began = time.monotonic()
    try:
        value = sandbox.run(code)
    except LuaError as error:
        assert error.kind in get_args(LuaErrorKind)
        assert error.message
        assert len(error.message) < 3000
        assert error.line is None or 1 <= error.line <= code.count("\n") + 1
        assert "secret text" not in error.message
        found = error.kind
    else:
        assert json.loads(json.dumps(value, allow_nan=False)) == value
        found = "ok"
    assert time.monotonic() - began < TIMEOUT + GRACE
    sandbox._timeout = 20.0
    assert sandbox.run("return 1") == 1
    return found


def workers():
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.mark.timeout(SECONDS + 120)
def test_generated_code_ends_as_a_json_value_or_a_lua_error_and_leaves_nothing():
    before, descriptors = workers(), len(os.listdir("/proc/self/fd"))
    outcomes: Counter[str] = Counter()
    number, end = 0, time.monotonic() + SECONDS
    with Sandbox(CALLBACKS, memory_mb=MEMORY_MB) as sandbox, Resident(sandbox) as resident:
        while time.monotonic() < end or number < 20:
            number += 1
            code = program(Random(f"{SEED}:{number}"))
            try:
                outcomes[outcome(sandbox, code)] += 1
                assert number % 25 or workers() - before == {sandbox._slot._worker.pid}
            except BaseException as error:
                error.add_note(f"program {number} of seed {SEED}:\n{code!r}")
                raise
    assert resident.most < MOST_RESIDENT
    assert workers() == before
    assert len(os.listdir("/proc/self/fd")) == descriptors
    print(number, dict(outcomes), f"{resident.most / 1e6:.0f} MB")


def test_a_seed_always_makes_the_same_programs_and_hardly_two_alike():
    codes = [program(Random(f"1:{number}")) for number in range(300)]
    assert codes == [program(Random(f"1:{number}")) for number in range(300)]
    assert len(set(codes)) > 200
    assert max(map(len, codes)) <= MOST_CODE + 10
