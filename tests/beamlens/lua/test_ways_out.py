"""The ways out of a Lua runtime inside Python that are known, one test each, and more like them."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from beamlens.lua import LuaError, Sandbox
from beamlens_actors import Aborted, AbortSignal


def fail():
    raise ZeroDivisionError("secret text")


CALLBACKS = {
    "echo": lambda *arguments: list(arguments),
    "fail": fail,
    "big": lambda: "x" * 900_000,
}


@pytest.fixture(scope="module")
def box():
    with Sandbox(CALLBACKS, timeout=1.0, memory_mb=16) as sandbox:
        yield sandbox


FILL = "local t = {} pcall(function() while true do t[#t + 1] = {} end end) "

# Each must end as an error, of one of these kinds.
ENDS = {
    "01 attributes of a function's object": ("return echo.__globals__", "runtime"),
    "01 the bridge to Python": ("return python.as_itemgetter(echo)", "runtime"),
    "01 the globals of the host by the bridge": ("return python.as_itemgetter(echo.__globals__)['os']", "runtime"),
    "02 the frames of an exception": ("local _, e = pcall(fail) return e.__traceback__.tb_frame", "runtime"),
    "03 a large result while memory is short": (FILL + "local k = {} while true do k[#k + 1] = big() end", "memory"),
    "03 a small result while memory is short": (FILL + "while true do t[#t + 1] = echo(1) end", "memory"),
    "04 large arguments while memory is short": (FILL + "while true do echo(('x'):rep(60000)) end", "memory"),
    "04 a large result to return while memory is short": (
        FILL + "local k = {} for i = 1, 4000 do k[i] = 'more than sixteen bytes' end return k",
        "result|memory",
    ),
    "05 thousands of arguments": ("return echo(table.unpack({}, 1, 100000))", "runtime"),
    "05 a great many values": ("return select('#', string.byte(('x'):rep(1e6), 1, -1))", "runtime"),
    "06 a loop that swallows its end": ("while true do pcall(function() while true do end end) end", "timeout"),
    "06 nested swallowing": ("local function f() pcall(f) return f() end return f()", "timeout"),
    "07 a coroutine that loops": ("coroutine.wrap(function() while true do end end)()", "runtime"),
    "08 a finaliser that loops": ("setmetatable({}, {__gc = function() while true do end end})", "runtime"),
    "09 a loop that a compiler would run": ("for i = 1, math.huge do end", "timeout"),
    "10 endless repetition of nothing": ("return #string.rep('', math.maxinteger, 'x')", "runtime"),
    "10 endless repetition without a separator": ("for _ = 1, 3 do string.rep('', math.maxinteger, '') end", "ok"),
    "10 endless repetition by a method": ("return (''):rep(math.maxinteger)", "ok"),
    "11 a pattern bomb": ("return (string.rep('a', 3000)):find(('.-'):rep(8) .. 'b')", "timeout"),
    "11 a pattern of options": ("return (string.rep('a', 32)):find(('a?'):rep(40) .. ('a'):rep(40))", "timeout"),
    "11 a long text in a longer one": (
        "local a = ('a'):rep(2000000) return (a .. a):find(a:sub(2) .. 'b', 1, true)",
        "timeout|ok",
    ),
    "11 a pattern bomb that replaces": ("return (string.rep('a', 3000)):gsub(('.-'):rep(8) .. 'b', '')", "timeout"),
    "12 moving everything": ("table.move({}, 1, math.maxinteger - 1, 2, {})", "runtime"),
    "12 moving from the very least": ("table.move({}, math.mininteger, math.maxinteger, 2)", "runtime"),
    "12 a length that lies": ("table.insert(setmetatable({}, {__len = function() return 1e15 end}), 1)", "runtime"),
    "12 removing by a length that lies": (
        "table.remove(setmetatable({}, {__len = function() return 1e15 end}), 1)",
        "runtime",
    ),
    "12 sorting by a length that lies": (
        "table.sort(setmetatable({}, {__len = function() return 2^31 - 2 end}), rawequal)",
        "runtime",
    ),
    "12 joining what is not there": ("return table.concat({}, '', 1, math.maxinteger)", "runtime"),
    "12 a sort that never agrees": (
        "local t = {} for i = 1, 1e5 do t[i] = i end table.sort(t, function() return true end)",
        "runtime|timeout",
    ),
    "13 functions that were removed, through a text": ("return ('').dump(function() end)", "runtime"),
    "13 the library behind a text's index": ("return getmetatable('').__index.dump", "runtime"),
    "14 slow steps": ("local s = ('a'):rep(500000) local n = 0 while true do n = n + #s:lower() end", "timeout"),
    "14 slow joins": ("local s, i = ('a'):rep(500000), 0 while true do i = i + 1 local t = s .. i end", "timeout"),
    "14 slow comparisons": (
        "local s = ('a'):rep(500000) local a, b = s .. 'a', s .. 'b' while true do local c = a < b end",
        "timeout",
    ),
    "15 a result that runs code": ("return setmetatable({}, {__index = function() while true do end end})", "runtime"),
    "15 a result that runs code as text": (
        "return setmetatable({}, {__tostring = function() while true do end end})",
        "runtime",
    ),
    "15 an error that runs code as text": (
        "error(setmetatable({}, {__tostring = function() while true do end end}))",
        "runtime",
    ),
    "16 bytecode": ("\x1bLua\x54\x00\x19\x93\r\n\x1a\n", "syntax"),
    "16 bytecode by dump and load": ("return load(string.dump(function() return 1 end))()", "runtime"),
    "17 an object's own finaliser": ("return getmetatable(echo).__gc(echo)", "runtime"),
    "17 a text's metatable": ("getmetatable('').__index = nil", "runtime"),
    "18 a result in a circle": ("local t = {} t[1] = t return t", "result"),
    "18 a circle as argument": ("local t = {} t[1] = t echo(t)", "callback"),
    "18 a circle as an error": ("local t = {} t[1] = t error(t)", "runtime"),
    "19 a class of a pattern that multiplies": (
        "return ('a'):rep(15000):find('[' .. ('b'):rep(15000) .. '90..a]-c')",
        "timeout|ok",
    ),
    "20 a balanced match over and over": ("local s = ('('):rep(65536) while true do s:find('%b()') end", "timeout"),
    "20 one balanced match": ("return ('('):rep(65536):find('%b()')", "timeout|ok"),
    "21 memory that callbacks raise": ("local k = {} while true do k[#k + 1] = big() end", "memory"),
    "21 memory that small callbacks raise": (
        "local k = {} while true do k[#k + 1] = ('x'):rep(100000) .. #k echo(1) end",
        "memory",
    ),
    "files": ("return io.open('/etc/passwd')", "runtime"),
    "commands": ("os.execute('true')", "runtime"),
    "the environment": ("return os.getenv('PATH')", "runtime"),
    "modules": ("require('os')", "runtime"),
    "code from text": ("return load('return 1')()", "runtime"),
    "the debug library": ("return debug.getupvalue(echo, 1)", "runtime"),
    "a huge text": ("return string.rep('x', 1e9)", "memory"),
    "text by doubling": ("local s = 'x' while true do s = s .. s end", "memory"),
    "endless recursion": ("local function f() return f() + 1 end return f()", "runtime|memory"),
    "recursion through gsub": ("local function f(s) return (s:gsub('.', f)) end return f('x')", "runtime"),
    "a loop inside gsub": ("return ('x'):gsub('.', function() while true do end end)", "timeout"),
    "a loop inside sort": ("table.sort({2, 1}, function() while true do end end)", "timeout"),
    "endless callbacks": ("while true do echo(1) end", "callback"),
    "endless callbacks that fail": ("while true do pcall(fail) end", "timeout"),
    "parentheses without end": ("return " + "(" * 7000 + "1" + ")" * 7000, "syntax"),
    "an endless goto": ("::top:: goto top", "timeout"),
}


def host():
    """What code could change here if it got out, other than files."""
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    return (
        dict(os.environ),
        str(Path.cwd()),
        list(sys.path),
        sys.getrecursionlimit(),
        signal.getsignal(signal.SIGALRM),
        threading.active_count(),
        len(children),
        len(os.listdir("/proc/self/fd")),
    )


@pytest.mark.parametrize("name", ENDS)
def test_a_way_out_is_closed_within_the_deadline_and_the_sandbox_lives(box, name):
    code, kinds = ENDS[name]
    assert box.run("return 1") == 1
    before = host()
    began = time.monotonic()
    try:
        box.run(code)
        found = "ok"
    except LuaError as error:
        found = error.kind
    assert found in kinds.split("|")
    assert time.monotonic() - began < 10  # the deadline is 1 s; a machine may be slow, but nothing hangs
    assert box.run("return 1") == 1
    assert host() == before


def test_03_the_other_threads_of_the_host_go_on(box):
    ended, ticks = threading.Event(), []

    def tick():
        while not ended.wait(0.005):
            ticks.append(1)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        with pytest.raises(LuaError):
            box.run(ENDS["03 a large result while memory is short"][0])
        with pytest.raises(LuaError):
            box.run(ENDS["11 a pattern bomb"][0])
    finally:
        ended.set()
        thread.join(20)
    assert ticks


def test_the_table_of_ways_out_names_each_and_tests_that_exist():
    table = Path(__file__).with_name("WAYS_OUT.md").read_text(encoding="utf-8")
    rows = [row.split("|") for row in re.findall(r"^\|(\s*\d+ \|.*)\|$", table, re.MULTILINE)]
    assert [int(row[0]) for row in rows] == list(range(1, 22))
    for number, _, tests in rows:
        named = re.findall(r"`([^`]+)`", tests)
        assert [name for name in named if name not in ENDS and not callable(globals().get(name))] == []
        prefix = f"{int(number):02} "
        assert [name for name in ENDS if name.startswith(prefix) and name not in named] == []
        assert named


def test_02_an_exception_is_a_text_and_no_object(box):
    assert box.run("local _, why = pcall(fail) return type(why), why") == ["string", "ZeroDivisionError"]


def test_13_methods_of_texts_are_the_sandboxs_own(box):
    assert box.run("string.rep = function() return 'mine' end return ('x'):rep(3)") == "mine"
    assert box.run("return ('x').dump == nil, (''):rep(math.maxinteger)") == [True, ""]


def test_nothing_of_python_is_in_reach(box):
    reachable = """
        local seen, found = {}, {}
        local function walk(value, path)
          if type(value) == 'userdata' or type(value) == 'thread' then found[#found + 1] = path end
          if type(value) ~= 'table' or seen[value] then return end
          seen[value] = true
          for name, item in pairs(value) do walk(item, path .. '.' .. tostring(name)) end
        end
        walk(_G, '_G')
        return found
    """
    assert box.run(reachable) == []


def test_what_is_there_is_what_was_meant(box):
    names = "local names = {} for name in pairs(_G) do names[#names + 1] = name end table.sort(names) return names"
    assert box.run(names) == sorted(
        ["_G", "_VERSION", "assert", "error", "ipairs", "math", "next", "os", "pairs", "pcall", "rawequal", "rawlen"]
        + ["select", "string", "table", "tonumber", "tostring", "type", "unpack", "utf8", *CALLBACKS]
    )
    assert box.run(names.replace("_G", "os")) == ["clock", "date", "difftime", "time"]


def test_memory_that_ran_out_can_be_caught_and_functions_still_answer(box):
    assert box.run(FILL + "t = nil return echo('x', {1})") == ["x", [1]]


def test_an_end_that_was_swallowed_still_ends_the_run_when_aborted(box):
    abort = AbortSignal()
    box_calls = []

    def stop(*_arguments):
        box_calls.append(1)
        abort.abort()

    with Sandbox({"stop": stop}, timeout=20.0) as sandbox, pytest.raises(Aborted):
        sandbox.run("pcall(stop) while true do pcall(stop) end", abort=abort)
    assert box_calls == [1]
