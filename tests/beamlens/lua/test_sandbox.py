from __future__ import annotations

import pickle
import time
from enum import IntEnum
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beamlens.errors import ConfigError
from beamlens.lua import LuaError, Sandbox


class Level(IntEnum):
    HIGH = 3


def fail():
    raise ZeroDivisionError("secret text")


def nested(depth):
    return [nested(depth - 1)] if depth else []


CALLBACKS = {
    "echo": lambda *arguments: list(arguments),
    "row": lambda: {"name": "x", "value": 1.5, "nothing": None, "empty": []},
    "holes": lambda: [1, None, 3, None],
    "keyed": lambda: {5: "five"},
    "level": lambda: Level.HIGH,
    "large": lambda: [2**63, -(2**70)],
    "surrogate": lambda: "\ud800x",
    "odd": lambda: {"x": Fraction(1)},
    "deep": lambda: nested(40),
    "one": lambda argument: argument,
    "fail": fail,
    "refuse": lambda: {"error": "bad_argument", "message": "no"},
    "host_get_memory": lambda: 1,
    "huge": lambda: "x" * 2_000_000,
}


@pytest.fixture(scope="module")
def box():
    with Sandbox(CALLBACKS, timeout=5.0, memory_mb=16) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("return 1 + 1", 2),
        ("return 9007199254740993", 9007199254740993),
        ("return 10 // 3, 10 % 3", [3, 1]),
        ("return 1 / 2", 0.5),
        ("return math.maxinteger", 2**63 - 1),
        ("return 0/0, 1/0", [None, None]),
        ("return {}", []),
        ("return {{}}", [[]]),
        ("return {1, 2, {a = true}}", [1, 2, {"a": True}]),
        ("return {[2] = 'x'}", {"2": "x"}),
        ("return {1, nil, 3}", [1, None, 3]),
        ("return {[1] = 'a', [1000] = 'b'}", {"1": "a", "1000": "b"}),
        ("return {1, 2, x = 3}", {"1": 1, "2": 2, "x": 3}),
        ("return {[1.5] = 1, [true] = 2}", {"1.5": 1, "true": 2}),
        ("return 'größer', '\\u{1F600}', '\\0'", ["größer", "😀", "\0"]),
        ("return '\\xff'", "�"),
        ("return nil", None),
        ("local x = 1", None),
        ("", None),
        ("return 1, 2", [1, 2]),
        ("return nil, 'why', nil", [None, "why", None]),
        ("return row()", {"name": "x", "value": 1.5, "empty": []}),
        ("return row().nothing == nil", True),
        ("return echo(1, 'a', {b = 2}, nil, 1.5)", [1, "a", {"b": 2}, None, 1.5]),
        ("return holes()", [1, None, 3, None]),
        ("local n = 0 for _ in ipairs(holes()) do n = n + 1 end return n", 4),
        ("return keyed()[5]", "five"),
        ("return keyed()", {"5": "five"}),
        ("return level()", 3),
        ("return math.type(large()[1]), large()[1] == 2^63", ["float", True]),
        ("return surrogate()", "?x"),
        ("return refuse().error", "bad_argument"),
        ("local ok, why = pcall(fail) return {ok, why}", [False, "ZeroDivisionError"]),
        ("return pcall(error, {a = 1})", [False, {"a": 1}]),
        ("local t = {3, 1, 2} table.sort(t) return t", [1, 2, 3]),
        ("return ('abc'):upper(), string.rep('', 1e9), ('ab'):rep(2)", ["ABC", "", "abab"]),
        ("return table.move({1, 2, 3}, 1, 3, 2)", [1, 1, 2, 3]),
        ("return string.char(table.unpack({72, 105}))", "Hi"),
        ("return (('x=1, y=2'):gsub('%w+=', function(name) return '<' .. name .. '>' end))", "<x=>1, <y=>2"),
        ("return type(os.time()), os.date('%Y %H', 0)", ["number", "1970 00"]),
    ],
)
def test_what_code_returns_comes_back_as_json(box, code, value):
    found = box.run(code)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("code", "kind", "line", "words"),
    [
        ("retrun 1", "syntax", 1, "begin with return"),
        ("return 1 +", "syntax", 1, "unexpected symbol"),
        ("local x = 1\nif x != 1 then return 1 end", "syntax", 2, "not equal is ~="),
        ("x" * 20_000, "syntax", None, "at most 16000"),
        ("\nlocal x = nil\nreturn x.y", "runtime", 3, "attempt to index a nil value"),
        ("local x\nreturn 'a' .. x", "runtime", 2, "a value is missing"),
        ("return host_get_memroy()", "runtime", 1, "did you mean host_get_memory?"),
        ("return host.get_memory()", "runtime", 1, "with _, as in host_get_memory"),
        ("\nprint(1)", "runtime", 2, "return what you want to see"),
        ("return #x", "runtime", 1, "attempt to get length of a nil value"),
        ("\nfor _, row in ipairs(nil) do end", "runtime", 2, "ipairs needs a table, got nil"),
        ("error('no')", "runtime", 1, "no"),
        ("error({code = 1})", "runtime", 1, "code"),
        ("error()", "runtime", 1, "without a message"),
        ("error('')", "runtime", 1, "an empty message"),
        ("\nerror('box:1:', 0)", "runtime", 2, "an empty message"),
        ("local x = echo(table.unpack({}, 1, 200))", "runtime", 1, "echo was given 200 arguments"),
        ("local t = {}\nreturn table.unpack(t, 1, 1e6)", "runtime", None, "at most 250"),
        ("\nfail()", "callback", 2, "fail: ZeroDivisionError"),
        ("\nreturn fail()", "callback", 2, "fail: ZeroDivisionError"),
        ("local x = huge()", "callback", 1, "larger than 1 MB"),
        ("local x = odd()", "callback", 1, "a Fraction, which is no JSON value"),
        ("local x = deep()", "callback", 1, "nested deeper"),
        ("local x = one(1, 2)", "callback", 1, "one: TypeError"),
        ("local x = echo(print)\nlocal y = echo(error)", "callback", 2, "a function cannot be"),
        ("for i = 1, 1001 do echo(i) end", "callback", 1, "more than 1000 calls"),
        ("local t = {}\nwhile true do t[#t + 1] = {} end", "memory", None, "not enough memory"),
        ("return function() end", "result", None, "a function cannot be returned"),
        ("local t = {} t.t = t return t", "result", None, "in a circle"),
        ("return string.rep('x', 100000)", "result", None, "return less"),
        ("local t = {} for i = 1, 9000 do t[i] = i end return t", "result", None, "return less"),
        ("return {['1'] = 1, [1] = 2}", "result", None, "both written '1'"),
        ("return {[{}] = 1}", "result", None, "must be a text or a number"),
    ],
)
def test_a_mistake_is_named_with_its_kind_and_line(box, code, kind, line, words):
    with pytest.raises(LuaError) as caught:
        box.run(code)
    assert (caught.value.kind, caught.value.line) == (kind, line)
    assert words in caught.value.message
    assert "secret text" not in str(caught.value)


def test_the_line_of_an_endless_loop_is_named():
    with Sandbox(timeout=0.3) as sandbox, pytest.raises(LuaError, match="endless loop") as caught:
        sandbox.run("local x = 1\nwhile true do\n  x = x + 1\nend")
    assert caught.value.kind == "timeout"
    assert caught.value.line in (2, 3)


def test_a_result_of_the_largest_size_comes_back_whole(box):
    assert box.run("return string.rep('x', 64000)") == "x" * 64000
    assert len(box.run("local t = {} for i = 1, 4999 do t[i] = i end return t")) == 4999
    assert box.run("local t = {} for _ = 1, 7 do t = {t} end return t") == nested(7)


def test_globals_of_one_run_are_gone_in_the_next(box):
    box.run("leak = 5 string.upper = nil")
    assert box.run("return leak") is None
    assert box.run("return ('a'):upper()") == "A"


@pytest.mark.parametrize("digits", [6, 30, 5000])
def test_an_error_that_pretends_to_have_a_line_does_not_end_the_worker(box, digits):
    box.run("return 1")
    worker = box._slot._worker
    with pytest.raises(LuaError, match="lua:99") as caught:
        box.run(f"\nerror('lua:' .. ('9'):rep({digits}) .. ': x', 0)")
    assert (caught.value.kind, caught.value.line) == ("runtime", 2)
    box.run("return 1")
    assert box._slot._worker is worker


def test_memory_that_one_run_used_is_there_for_the_next(box):
    for _ in range(3):
        assert box.run("local t = {} for i = 1, 100000 do t[i] = i end return #t") == 100_000


@pytest.mark.parametrize(
    "ending", ["return #t", "return t", "error('no')", "echo(t)", "while true do t[#t + 1] = {} end"]
)
def test_memory_of_a_run_is_given_back_at_its_end(ending):
    code = "local t = {} for i = 1, 100000 do t[i] = {} end "
    with Sandbox({"echo": list}, timeout=20.0, memory_mb=16) as sandbox:
        sandbox.run("return 1")
        worker = sandbox._slot._worker
        for _ in range(40):
            try:
                sandbox.run(code + ending)
            except LuaError as error:
                assert (error.kind == "memory") is ("while" in ending)
        assert sandbox._slot._worker is worker
        status = Path(f"/proc/{worker.pid}/status").read_text()
    most = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    assert most < 60_000_000


def test_results_of_callbacks_count_as_memory():
    rows = [{"id": number, "text": "x" * 20} for number in range(2000)]
    with Sandbox({"rows": lambda: rows}, timeout=20.0, memory_mb=8) as sandbox:
        with pytest.raises(LuaError) as caught:
            sandbox.run("local kept = {} for i = 1, 500 do kept[i] = rows() end")
        assert caught.value.kind == "memory"
        assert sandbox.run("local n = 0 for i = 1, 60 do n = n + #rows() end return n") == 120_000


def test_functions_are_called_so_often_and_with_so_much_at_most():
    sizes = []
    with Sandbox({"note": lambda value=None: sizes.append(len(value or ""))}, timeout=20.0) as sandbox:
        sandbox.run("for i = 1, 3000 do pcall(note) end")
        assert len(sizes) == 1000
        with pytest.raises(LuaError, match="note: an argument cannot be passed: more than 64 KB of text") as caught:
            sandbox.run("note(('x'):rep(64000)) note(('x'):rep(64001))")
        assert (caught.value.kind, max(sizes), len(sizes)) == ("callback", 64000, 1001)


def _burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_functions_may_use_so_much_processor_time_of_the_host_in_one_run():
    calls = []

    def burn():
        calls.append(1)
        _burn(0.06)

    with Sandbox({"burn": burn, "echo": lambda value: value}, timeout=20.0, callback_cpu=0.1) as sandbox:
        with pytest.raises(LuaError) as caught:
            sandbox.run("\nwhile true do burn() end")
        assert (caught.value.kind, caught.value.line, len(calls)) == ("callback", 2, 2)
        assert "burn: functions used more than 0.1 s of processor time in one run" in caught.value.message
        swallowed = "for i = 1, 500 do pcall(burn) end return pcall(echo, 1)"
        assert sandbox.run(swallowed)[0] is False
        assert len(calls) == 4
        assert sandbox.run("burn() return echo(1)") == 1


def test_processor_time_of_failures_and_of_copying_results_counts():
    def fail_late():
        _burn(0.06)
        raise ZeroDivisionError

    values = {"fail_late": fail_late, "rows": lambda: [0] * 49_000}
    with Sandbox(values, timeout=20.0, memory_mb=64, callback_cpu=0.05) as sandbox:
        with pytest.raises(LuaError, match="processor time"):
            sandbox.run("pcall(fail_late) fail_late()")
        with pytest.raises(LuaError, match="processor time"):
            sandbox.run("while true do rows() end")


@pytest.mark.parametrize("name", ["end", "a.b", "1x", "größe", "a b", ""])
def test_a_function_that_lua_cannot_name_is_refused_at_once(name):
    with pytest.raises(ConfigError, match="name of a Lua function"):
        Sandbox({name: fail})


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": float("nan")}, {"memory_mb": 0}, {"callback_cpu": 0}])
def test_numbers_out_of_range_are_refused_at_once(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Sandbox(**options)


def test_an_error_survives_being_pickled():
    error = pickle.loads(pickle.dumps(LuaError("runtime", "no", 3)))
    assert (error.kind, error.message, error.line, str(error)) == ("runtime", "no", 3, "runtime error in line 3: no")


_json = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=4), inner, min_size=1, max_size=4)
    ),
    max_leaves=20,
)


def _depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_json.filter(lambda value: _depth(value) <= 7))
def test_what_a_function_gives_comes_back_the_same(value):
    _BOX["value"] = value
    found = _SHARED.run("return give()")
    assert found == value
    assert repr(found) == repr(value) or isinstance(value, (dict, list))


_BOX: dict = {}
_SHARED = Sandbox({"give": lambda: _BOX["value"]}, timeout=20.0)


@pytest.fixture(scope="module", autouse=True)
def _close_shared():
    yield
    _SHARED.close()


_words = st.sampled_from(
    ["return", "echo(1)", "row()", "{", "}", "1", "'x'", "=", "local t", "t", "function()", "end", "if", "then"]
    + ["for i=1,3 do", "+", "..", "(", ")", "nil", "pcall(", "string.rep('a',9)", "\n", "\x00", "é", "goto x", "::x::"]
    + ["while true do", "#", "_G", "[", "]", ",", "error(", "fail()", "table.concat(", "holes()", "-- ", "[[", "]]"]
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_words, max_size=12))
def test_any_text_is_answered_with_a_value_or_a_lua_error(quick, words):
    try:
        quick.run(" ".join(words))
    except LuaError as error:
        assert error.kind in ("syntax", "runtime", "timeout", "memory", "callback", "result")
        assert error.message
        assert "box:" not in error.message
    assert quick.run("return 1") == 1


@pytest.fixture(scope="module")
def quick():
    with Sandbox(CALLBACKS, timeout=0.5, memory_mb=16) as sandbox:
        yield sandbox
