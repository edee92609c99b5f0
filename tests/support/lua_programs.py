"""Lua that nobody would write: `program(random)` makes text that is mostly valid, and often hostile."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

MOST_CODE = 16_000


def _words(text: str) -> list[str]:
    return text.split()


_NAMES = ["a", "b", "c", "t", "s", "f", "_G", "string", "table", "math", "os", "utf8", "self", "python", "debug"]
_CALLED = (
    ["assert", "error", "next", "rawequal", "rawlen", "select", "tonumber", "tostring", "type", "pcall", "pairs"]
    + ["ipairs", "unpack", "load", "setmetatable", "getmetatable", "require", "coroutine.wrap", "echo", "fail", "big"]
    + [f"string.{name}" for name in _words("byte char find format gmatch gsub len lower match pack packsize rep")]
    + [f"string.{name}" for name in _words("reverse sub unpack upper dump")]
    + [f"table.{name}" for name in _words("concat insert move pack remove sort unpack")]
    + [f"math.{name}" for name in _words("abs ceil floor fmod huge log max modf random tointeger ult")]
    + ["utf8.char", "utf8.codepoint", "utf8.len", "utf8.offset", "utf8.codes", "os.date", "os.time", "os.clock"]
)
_NUMBERS = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "250",
    "1000",
    "65536",
    "1e6",
    "2^31",
    "2^31 - 2",
    "2^53",
    "1e15",
    "1e308",
    "0/0",
] + ["1/0", "-1/0", "-0.0", "0.5", "math.maxinteger", "math.mininteger", "math.maxinteger - 1", "0x7fffffff"]
_TEXTS = (
    ["''", "'x'", "'abc,def'", "'\\0'", "'\\xff\\xfe'", "'größe'", "'%'", "'%d %s %q %99.99f'", "'.-'", "'%b()'"]
    + ["'[%w_]*'", "'(a*)(b?)%1'", "'%f[%w]'", "('a'):rep(3000)", "('.-'):rep(6) .. 'b'", "('('):rep(9999)"]
    + [
        "'\\u{7FFFFFFF}'",
        "'*t'",
        "'%Ez'",
        "'%c%c%c'",
        "'__index'",
        "'\\27Lua'",
        "[[\nline\n]]",
        "'s4z'",
        "('x'):rep(70000)",
    ]
)
_OPERATORS = _words("+ - * / // % ^ .. == ~= < <= > >= and or & | ~ << >>")
_METHODS = _words("byte dump find format gsub match rep sub upper")
_HOSTILE = [
    "while true do end",
    "repeat until false",
    "::top:: goto top",
    "while true do pcall(function() while true do end end) end",
    "local f f = function() return pcall(f), f() end f()",
    "local f f = function() return f() + 1 end f()",
    "local k = {} while true do k[#k + 1] = big() end",
    "local k = {} pcall(function() while true do k[#k + 1] = {k} end end)",
    "local s = 'x' while true do s = s .. s end",
    "local t = {} for i = 1, 3e5 do t[i] = tostring(i) end",
    "while true do pcall(fail) end",
    "while true do pcall(echo, 1, {2}) end",
    "for i = 1, 1001 do echo(i) end",
    "local t = {} t.t = t echo(t)",
    "local t = {} t[t] = t return t",
    "local t = {1} for _ = 1, 9 do t = {t, t, t, t} end return t",
    "local t = {} for i = 1, 1e5 do t[i] = i end table.sort(t, function() return true end)",
    "table.sort({3, 1, 2}, function(a, b) error({a, b}) end)",
    "for name in pairs(_G) do _G[name] = nil end",
    "for _, lib in pairs({string, table, math}) do for n in pairs(lib) do lib[n] = error end end",
    "string.rep, table.unpack, pcall, error = nil, nil, nil, nil",
    "_G._G, _G.type = nil, function() return 'table' end",
    "return (('a'):rep(20000)):find(('.-'):rep(8) .. 'b')",
    "return (('x'):rep(200)):gsub('.', function(c) return (c:rep(200):gsub('.', echo)) end)",
    "error(setmetatable and 1 or {{{}}})",
    "error(function() end)",
    "error('lua:' .. ('9'):rep(5000) .. ': x', 0)",
    "error('box:1:', 0)",
    "error(('attempt to call a nil value (global \\'x\\') '):rep(500))",
    "return 1, nil, 2, nil, nil",
    "return table.unpack({}, 1, 249)",
    "return holes(), unpack(holes())",
    "local h = holes() h[#h + 40] = 1 return h",
    "local t = {} for i = 1, 2e5 do t[i] = 1 end for i = 1, 2e5 do t[i] = nil end return {t, t, t, t, t}",
    "return {[1.5] = 1, ['1.5'] = 2}",
    "return -0.0, 0/0, 1/0, math.mininteger",
    "return ('\\xed\\xa0\\x80')",
    "return " + "{" * 150 + "}" * 150,
    "return " + "(" * 180 + "1" + ")" * 180,
    "return " + "-" * 1 + "- " * 150 + "1",
    "return " + "1 .. " * 240 + "1",
    "local " + ", ".join(f"v{number}" for number in range(201)),
    "return function(...) return ... end",
    "echo(echo)",
    "echo(unpack({}, 1, 21))",
    "local x <close> = {}",
    "local x <const> = 1 x = 2",
    "goto nowhere",
    "break",
    "return load('return 1')()",
    "return os.execute('true')",
    "return io.open('/etc/passwd')",
]


def program(random: Random) -> str:
    """One program, at most `MOST_CODE` bytes long and a little more."""
    style = random.random()
    if style < 0.12:
        text = random.choice(_HOSTILE)
    elif style < 0.25:
        text = f"pcall(function() {_block(random, 2)} end)\n{random.choice(_HOSTILE)}"
    else:
        parts = [f"pcall(function() {_statement(random, 3)} end)" for _ in range(random.randint(1, 5))]
        value = f"return {_list(random, 4)}"
        text = "\n".join([*parts, value if random.random() < 0.3 else f"return pcall(function() {value} end)"])
    return _damaged(random, text) if random.random() < 0.2 else text


def _damaged(random: Random, text: str) -> str:
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(text) + 1)
        change = random.randrange(4)
        if change == 0:
            text = text[:at] + text[at + random.randint(1, 20) :]
        elif change == 1:
            text = text[:at] + random.choice(["\0", "end", "\x1b", "é", "\ud800", "]]", "'", "--", "--[["]) + text[at:]
        elif change == 2:
            text = text[:at] + text[at : at + 40] * random.randint(2, 30) + text[at:]
        else:
            text = text[: at or 1]
    return text[: MOST_CODE + 10]


def _block(random: Random, depth: int) -> str:
    return "\n".join(_statement(random, depth) for _ in range(random.randint(1, 4)))


def _statement(random: Random, depth: int) -> str:
    name = random.choice(_NAMES)
    make: list[Callable[[], str]] = [
        lambda: f"local {name} = {_expression(random, depth)}",
        lambda: f"{name} = {_expression(random, depth)}",
        lambda: f"pcall({random.choice(_CALLED)}, {_list(random, depth)})",
        lambda: f"pcall(function() {_statement(random, depth - 1)} end)",
        lambda: f"{random.choice(_CALLED)}({_list(random, depth)})",
        lambda: f"pcall(function() {name}[{_expression(random, depth)}] = {_expression(random, depth)} end)",
    ]
    if depth > 0:
        make += [
            lambda: f"if {_expression(random, depth - 1)} then {_block(random, depth - 1)} end",
            lambda: (
                f"for i = {_number(random)}, {_number(random)}, {_number(random)} do {_block(random, depth - 1)} end"
            ),
            lambda: f"for i = 1, {random.choice([3, 30, 300])} do {_block(random, depth - 1)} end",
            lambda: f"for k, v in pairs({_expression(random, depth - 1)}) do {_block(random, depth - 1)} end",
            lambda: f"local function {name}(...) {_block(random, depth - 1)} return ... end",
            lambda: f"do {_block(random, depth - 1)} end",
        ]
    return random.choice(make)()


def _list(random: Random, depth: int) -> str:
    return ", ".join(_expression(random, depth - 1) for _ in range(random.choice([1, 1, 2, 2, 3, 4])))


def _number(random: Random) -> str:
    return random.choice(_NUMBERS)


def _expression(random: Random, depth: int) -> str:
    if depth <= 0:
        return random.choice(
            [_number(random), random.choice(_TEXTS), random.choice(_NAMES), "nil", "true", "{}", "{1, 2, 3}", "holes()"]
        )
    make: list[Callable[[], str]] = [
        lambda: _expression(random, 0),
        lambda: f"{random.choice(_CALLED)}({_list(random, depth)})",
        lambda: f"select({_number(random)}, pcall({random.choice(_CALLED)}, {_list(random, depth)}))",
        lambda: f"({_expression(random, depth - 1)} {random.choice(_OPERATORS)} {_expression(random, depth - 1)})",
        lambda: f"{random.choice(['#', '-', 'not ', '~'])}({_expression(random, depth - 1)})",
        lambda: f"{{{_list(random, depth)}, x = {_expression(random, depth - 1)}}}",
        lambda: f"({_expression(random, depth - 1)})[{_expression(random, depth - 1)}]",
        lambda: (
            f"({random.choice(_TEXTS)}):{random.choice(['rep', 'find', 'gsub', 'sub', 'dump'])}({_list(random, 1)})"
        ),
        lambda: f"function(...) {_statement(random, depth - 1)} return {_expression(random, depth - 1)} end",
    ]
    return random.choice(make)()
