from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beamlens.lua import LuaError, Sandbox
from beamlens_actors import Aborted, AbortSignal


def fail():
    raise ZeroDivisionError("secret text")


CALLBACKS = {
    "echo": lambda *arguments: list(arguments),
    "row": lambda: {"name": "x", "value": 1.5, "nothing": None, "empty": []},
    "fail": fail,
    "refuse": lambda: {"error": "bad_argument", "message": "no"},
    "host_get_memory": lambda: 1,
    "huge": lambda: "x" * 2_000_000,
}


@pytest.fixture(scope="module")
def box():
    with Sandbox(CALLBACKS, timeout=1.0, memory_mb=16) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("return 1 + 1", 2),
        ("return 1 / 2", 0.5),
        ("return {}", []),
        ("return {1, 2, {a = true}}", [1, 2, {"a": True}]),
        ("return {[2] = 'x'}", {"2": "x"}),
        ("return 'größer'", "größer"),
        ("return nil", None),
        ("local x = 1", None),
        ("return 1, 2", [1, 2]),
        ("return 0/0", None),
        ("return row()", {"name": "x", "value": 1.5, "empty": []}),
        ("return echo(1, 'a', {b = 2})", [1, "a", {"b": 2}]),
        ("return refuse().error", "bad_argument"),
        ("local ok, why = pcall(fail) return {ok, why}", [False, "callback:fail: ZeroDivisionError"]),
        ("local t = {3, 1, 2} table.sort(t) return t", [1, 2, 3]),
        ("return ('abc'):upper()", "ABC"),
        ("return type(os.time())", "number"),
    ],
)
def test_what_code_returns_comes_back_as_json(box, code, value):
    assert box.run(code) == value


@pytest.mark.parametrize(
    ("code", "kind", "line", "words"),
    [
        ("retrun 1", "syntax", 1, "begin with return"),
        ("return 1 +", "syntax", 1, "unexpected symbol"),
        ("\nlocal x = nil\nreturn x.y", "runtime", 3, "attempt to index a nil value"),
        ("return host_get_memroy()", "runtime", 1, "did you mean host_get_memory?"),
        ("print(1)", "runtime", 1, "return what you want to see"),
        ("error('no')", "runtime", 1, "no"),
        ("error({code = 1})", "runtime", None, "code"),
        ("fail()", "callback", 1, "fail: ZeroDivisionError"),
        ("local x = huge()", "callback", 1, "larger than 1 MB"),
        ("return function() end", "result", None, "a function cannot be returned"),
        ("local t = {} t.t = t return t", "result", None, "in a circle"),
        ("return string.rep('x', 100000)", "result", None, "return less"),
        ("local t = {} for i = 1, 9000 do t[i] = i end return t", "result", None, "return less"),
        ("x" * 20_000, "syntax", None, "at most 16000"),
    ],
)
def test_a_mistake_is_named_with_its_kind_and_line(box, code, kind, line, words):
    with pytest.raises(LuaError) as caught:
        box.run(code)
    assert (caught.value.kind, caught.value.line) == (kind, line)
    assert words in caught.value.message
    assert "secret text" not in str(caught.value)


WAYS_OUT = {
    "reach Python through a callback's attributes": "return echo.__globals__",
    "python table": "return python.eval('1')",
    "os.execute": "os.execute('true')",
    "io.open": "io.open('/etc/passwd')",
    "require": "require('os')",
    "dofile": "dofile('/etc/passwd')",
    "load": "load('return 1')()",
    "debug library": "debug.getupvalue(echo, 1)",
    "metatable of a string": "getmetatable('').__index = nil",
    "setmetatable with __gc": "setmetatable({}, {__gc = function() while true do end end})",
    "coroutine that loops": "coroutine.wrap(function() while true do end end)()",
    "string.dump": "return ('').dump(function() end)",
    "bytecode": "\x1bLua",
    "endless loop": "while true do end",
    "endless loop under pcall": "while true do pcall(function() while true do end end) end",
    "endless repetition": "return string.rep('', math.maxinteger)",
    "huge string": "return string.rep('x', 1e9)",
    "memory by doubling": "local s = 'x' while true do s = s .. s end",
    "memory by a table": "local t = {} for i = 1, 1e9 do t[i] = {} end",
    "pattern bomb": "return (string.rep('a', 3000)):find(('.-'):rep(8) .. 'b')",
    "table.move over everything": "table.move({}, 1, math.maxinteger - 1, 2, {})",
    "a lying sort": "table.sort({1, 2, 3}, function() return true end) while true do end",
    "deep recursion": "local function f() return f() + 1 end return f()",
    "recursion in gsub": "local function f(s) return (s:gsub('.', f)) end return f('x')",
    "endless callbacks": "while true do echo(1) end",
    "a cycle as argument": "local t = {} t[1] = t echo(t)",
    "a function as argument": "echo(function() end)",
    "a huge unpack": "return #{table.unpack({}, 1, 1e7)}",
}


@pytest.mark.parametrize("name", WAYS_OUT)
def test_a_way_out_ends_in_an_error_within_the_deadline_and_the_sandbox_lives(box, name):
    began = time.monotonic()
    with pytest.raises(LuaError):
        box.run(WAYS_OUT[name])
    assert time.monotonic() - began < 10  # the deadline is 1 s; a machine may be slow, but nothing hangs
    assert box.run("return 1") == 1


def test_globals_of_one_run_are_gone_in_the_next(box):
    box.run("leak = 5 string.upper = nil")
    assert box.run("return leak") is None
    assert box.run("return ('a'):upper()") == "A"


def test_the_worker_has_no_environment_and_no_inherited_descriptor(box):
    box.run("return 1")
    pid = box._worker._process.pid
    with open(f"/proc/{pid}/environ", "rb") as file:
        assert file.read() == b""
    assert len(os.listdir(f"/proc/{pid}/fd")) <= 5


def test_a_worker_that_is_killed_is_an_error_and_the_next_run_has_another(box):
    box.run("return 1")
    released = threading.Event()

    def kill():
        os.kill(box._worker._process.pid, signal.SIGKILL)
        released.set()

    threading.Timer(0.1, kill).start()
    with pytest.raises(LuaError, match="the sandbox process ended"):
        box.run("while true do end")
    assert released.wait(5)
    assert box.run("return 2") == 2


def test_abort_ends_a_run(box):
    abort = AbortSignal()
    threading.Timer(0.1, abort.abort).start()
    with pytest.raises(Aborted):
        box.run("while true do end", abort=abort)
    assert box.run("return 3") == 3


def test_runs_of_several_threads_queue():
    with Sandbox(CALLBACKS) as sandbox:
        found = []
        threads = [threading.Thread(target=lambda n=n: found.append(sandbox.run(f"return {n}"))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == list(range(8))


def test_close_ends_the_worker_leaves_no_zombie_and_may_be_repeated():
    sandbox = Sandbox()
    sandbox.run("return 1")
    pid = sandbox._worker._process.pid
    sandbox.close()
    sandbox.close()
    assert not os.path.exists(f"/proc/{pid}")
    assert sandbox.run("return 2") == 2
    sandbox.close()


def test_an_idle_worker_ends_by_itself():
    sandbox = Sandbox(idle_timeout=0.2)
    sandbox.run("return 1")
    process = sandbox._worker._process
    process.wait(20)
    sandbox.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_starts_a_worker_of_its_own_and_leaves_the_parents_alone():
    sandbox = Sandbox()
    sandbox.run("return 1")
    worker = sandbox._worker._process.pid
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, str(sandbox.run("return 7")).encode())
            sandbox.close()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 5) == b"7"
    assert sandbox.run("return 8") == 8
    assert sandbox._worker._process.pid == worker
    sandbox.close()
    os.close(read)
    os.close(write)


_words = st.sampled_from(
    ["return", "echo(1)", "row()", "{", "}", "1", "'x'", "=", "local t", "t", "function()", "end", "if", "then"]
    + ["for i=1,3 do", "+", "..", "(", ")", "nil", "pcall(", "string.rep('a',9)", "\n", "\x00", "é", "goto x", "::x::"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_words, max_size=12))
def test_any_text_is_answered_with_a_value_or_a_lua_error(box, words):
    try:
        box.run(" ".join(words))
    except LuaError as error:
        assert error.kind in ("syntax", "runtime", "timeout", "memory", "callback", "result")
