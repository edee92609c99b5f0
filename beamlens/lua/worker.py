"""The sandbox's worker process: runs Lua, calls back over its pipes. Started as a script, alone, by `sandbox`.

It imports nothing of Beamlens: it must start in a bare interpreter with lupa and msgpack, whose folders are its
arguments. Then it takes away from itself what it does not need: memory, files, processes.
"""

from __future__ import annotations

import math
import os
import re
import sys
from typing import Any

_MOST_MESSAGE = 2_000_000
_MOST_RESULT_BYTES = 64_000
_MOST_NODES = 5_000
_MOST_DEPTH = 8
_MOST_CALLS = 1_000
_AT_LINE = re.compile(r"^lua:(\d+):\s*(.*)", re.DOTALL)

# What remains of Lua. No coroutines, metatables, load, io or debug: what is not there cannot be a way out.
_BOOTSTRAP = r"""
local rpc, names = ...
local real = {
  assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs, pcall = pcall, select = select,
  tonumber = tonumber, tostring = tostring, type = type, load = load, pack = table.pack, unpack = table.unpack,
}
string.dump = nil
getmetatable("").__metatable = false

local function copy(from, without)
  local to = {}
  for name, value in pairs(from) do
    if not without[name] then to[name] = value end
  end
  return to
end

local function environment()
  local env = {
    assert = real.assert, error = real.error, ipairs = real.ipairs, next = real.next, pairs = real.pairs,
    pcall = real.pcall, select = real.select, tonumber = real.tonumber, tostring = real.tostring, type = real.type,
    math = copy(math, {randomseed = true}), string = copy(string, {dump = true}), table = copy(table, {}),
    utf8 = copy(utf8, {}), os = {time = os.time, clock = os.clock, date = os.date}, _VERSION = _VERSION,
  }
  env._G = env
  env.unpack = table.unpack
  for i = 1, #names do
    local name = names[i]
    env[name] = function(...)
      -- No Python exception gets in here, not even as an object that pcall returns: text only.
      local fine, value = rpc(name, ...)
      if not fine then real.error(value, 2) end
      return value
    end
  end
  return env
end

local env = environment()
local globals = _G
for name in real.pairs(globals) do globals[name] = nil end

return function(code)
  local chunk, problem = real.load(code, "=lua", "t", env)
  if not chunk then return "syntax", problem end
  local results = real.pack(real.pcall(chunk))
  if not results[1] then return "runtime", results[2] end
  if results.n <= 2 then return "ok", results[2] end
  return "many", {real.unpack(results, 2, results.n)}
end
"""


class Refused(Exception):  # noqa: N818 - an answer
    """The result cannot be given back."""


class Worker:
    """Answers one run after the other until its standard input ends."""

    def __init__(self, memory_mb: int) -> None:
        import msgpack
        from lupa import lua54

        self._msgpack: Any = msgpack
        self._lua54: Any = lua54
        self._memory = memory_mb * 1_000_000
        self._in, self._out = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        os.close(null)

    def serve(self) -> None:
        """Run what comes."""
        while (message := self._receive()) is not None:
            self._send(self._run(message["run"], message["names"]))

    def _run(self, code: bytes, names: list[bytes]) -> dict[str, Any]:
        self._calls = 0
        try:
            lua = self._lua54.LuaRuntime(
                encoding=None,
                register_eval=False,
                register_builtins=False,
                unpack_returned_tuples=True,
                max_memory=self._memory,
                attribute_filter=_no_attributes,
            )
            start = lua.execute(b"return function(...) " + _BOOTSTRAP.encode() + b" end")
            run = start(lambda name, *args: self._call(lua, name, args), lua.table_from(names))
            answer = run(code)
        except MemoryError:
            return {"error": "memory", "message": "not enough memory"}
        except self._lua54.LuaError as error:
            return _failure("runtime", str(error).encode())
        status, value = answer if isinstance(answer, tuple) else (answer, None)
        status = status.decode()
        if status in ("syntax", "runtime"):
            return _failure(status, value if isinstance(value, bytes) else self._describe(value))
        try:
            plain = _Result(self._lua54).plain(value)
        except Refused as refused:
            return {"error": "result", "message": str(refused)}
        except MemoryError:
            return {"error": "memory", "message": "not enough memory"}
        return {"ok": plain}

    def _describe(self, value: Any) -> bytes:
        """An error value that is no text, as in ``error({code = 1})``."""
        try:
            return repr(_Result(self._lua54).plain(value)).encode()
        except Refused:
            return b"an error value that is no text"

    def _call(self, lua: Any, name: bytes, args: tuple[Any, ...]) -> Any:
        self._calls += 1
        if self._calls > _MOST_CALLS:
            return False, f"more than {_MOST_CALLS} calls of functions in one run".encode()
        try:
            plain = [_Result(self._lua54).plain(argument) for argument in args]
        except Refused as refused:
            return False, f"callback:{name.decode()}: an argument cannot be passed: {refused}".encode()
        self._send({"call": name.decode(), "args": plain})
        answer = self._receive()
        if answer is None:
            os._exit(0)
        if "err" in answer:
            return False, b"callback:" + name + b": " + answer["err"]
        return True, _to_lua(lua, answer["ret"])

    def _receive(self) -> dict[str, Any] | None:
        header = self._read(4)
        if header is None:
            return None
        body = self._read(int.from_bytes(header, "big"))
        if body is None:
            return None
        unpacked = self._msgpack.unpackb(body, raw=True, strict_map_key=False)
        return {key.decode(): value for key, value in unpacked.items()}

    def _read(self, size: int) -> bytes | None:
        parts = []
        while size > 0:
            part = os.read(self._in, min(size, 1 << 16))
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _send(self, message: dict[str, Any]) -> None:
        body = self._msgpack.packb(message)
        if len(body) > _MOST_MESSAGE:
            body = self._msgpack.packb({"error": "result", "message": "the result is too large"})
        data = len(body).to_bytes(4, "big") + body
        while data:
            data = data[os.write(self._out, data) :]


class _Result:
    """From Lua to plain values, within bounds; tables have no metatables here, so nothing of the code runs."""

    def __init__(self, lua54: Any) -> None:
        self._type = lua54.lua_type
        self._nodes = 0
        self._bytes = 0

    def plain(self, value: Any, depth: int = 0) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise Refused(f"more than {_MOST_NODES} values; return less")
        if isinstance(value, bytes):
            self._bytes += len(value)
            if self._bytes > _MOST_RESULT_BYTES:
                raise Refused(f"more than {_MOST_RESULT_BYTES // 1000} KB of text; return less")
            return value.decode("utf-8", "replace")
        if value is None or isinstance(value, (bool, int)):
            return value if not isinstance(value, int) or -(1 << 63) <= value < 1 << 64 else float(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if self._type(value) == "table":
            return self._table(value, depth)
        raise Refused(f"a {self._type(value) or type(value).__name__} cannot be returned; return data")

    def _table(self, table: Any, depth: int) -> Any:
        if depth >= _MOST_DEPTH:
            raise Refused(f"tables nested deeper than {_MOST_DEPTH}, or in a circle")
        items = list(table.items())
        keys = [key for key, _ in items]
        if all(type(key) is int for key in keys) and sorted(keys) == list(range(1, len(keys) + 1)):
            return [self.plain(value, depth + 1) for _, value in sorted(items, key=lambda item: item[0])]
        return {self._key(key): self.plain(value, depth + 1) for key, value in items}

    def _key(self, key: Any) -> str:
        if isinstance(key, bytes):
            return key.decode("utf-8", "replace")
        if isinstance(key, bool):
            return "true" if key else "false"
        if isinstance(key, (int, float)):
            return str(key)
        raise Refused("a table's key must be a text or a number")


def _to_lua(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: _to_lua(lua, item) for key, item in value.items() if item is not None})
    if isinstance(value, list):
        return lua.table_from([_to_lua(lua, item) for item in value])
    return value


def _failure(kind: str, message: bytes) -> dict[str, Any]:
    text = message.decode("utf-8", "replace")[:2000]
    if "not enough memory" in text:
        return {"error": "memory", "message": "not enough memory"}
    found: dict[str, Any] = {"error": kind, "message": text}
    match = _AT_LINE.match(text)
    if match:
        found |= {"line": int(match[1]), "message": match[2]}
    mark = found["message"].find("callback:")
    if mark >= 0:
        found |= {"error": "callback", "message": found["message"][mark + len("callback:") :]}
    return found


def _no_attributes(_object: Any, name: Any, _setting: bool) -> Any:
    raise AttributeError(f"no access to {name!r}")


def _confine(memory_mb: int) -> None:
    try:
        import resource
    except ImportError:  # no Unix: the deadline and Lua's own limit remain
        return
    wanted = {
        "RLIMIT_AS": _address_space() + 3 * memory_mb * 1_000_000 + 64_000_000,
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_NOFILE": 3,
        "RLIMIT_NPROC": 0,
    }
    for name, value in wanted.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        try:
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError):
            continue


def _address_space() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - one import less at start
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 1_000_000_000


def main() -> None:
    """``worker.py MEMORY_MB FOLDER...``."""
    memory_mb = int(sys.argv[1])
    sys.path[:0] = sys.argv[2:]
    worker = Worker(memory_mb)
    _confine(memory_mb)
    worker.serve()


if __name__ == "__main__":
    main()
