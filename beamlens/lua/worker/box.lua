-- What remains of Lua inside the sandbox. What is not there cannot be a way out: no coroutines, metatables, load,
-- io, debug, or objects of Python.
--
-- arm, disarm: the memory limit on and off. It must be off whenever Python makes a Lua value: an allocation that
-- fails there would jump over Python's own frames.
-- call(name, n, arguments): a function of the host; true and its value, or false and why not.
-- overdue(): whether the time is over.
local arm, disarm, call, overdue, names, most_arguments = ...

local error, getinfo, sethook, load, next, pairs, real_ipairs, real_pcall, select, type, unpack, xpcall =
  error, debug.getinfo, debug.sethook, load, next, pairs, ipairs, pcall, select, type, table.unpack, xpcall
local rep, move = string.rep, table.move

local TIMEOUT = "the code did not end in time"
local dead, dead_line, handling = false, nil, false
local failed = {} -- the last failure of a host function

-- Lists of the host that have holes, with their lengths.
local lengths = setmetatable({}, {__mode = "k"})

local function line_of_code()
  for level = 2, 300 do
    local info = getinfo(level, "Sl")
    if not info then return nil end
    if info.source == "=lua" and info.currentline > 0 then return info.currentline end
  end
end

local function on_count()
  if handling then return end
  if not dead and overdue() then
    dead, dead_line = true, line_of_code()
  end
  if dead then error(TIMEOUT, 0) end
end

local function protected(fine, ...)
  if dead then error(TIMEOUT, 0) end -- a pcall must not swallow the end
  return fine, ...
end

local function need(kind, value, name)
  if type(value) ~= kind then
    error(name .. " needs a " .. kind .. ", got " .. type(value), 3)
  end
end

local function copy(from, without)
  local to = {}
  for name, value in pairs(from) do
    if not without[name] then to[name] = value end
  end
  return to
end

local safe_string = copy(string, {dump = true})

function safe_string.rep(s, n, separator)
  if s == "" and (separator == nil or separator == "") then return "" end -- would count to n in C
  return rep(s, n, separator)
end

-- Methods of texts, as in s:upper(), are these and not the library's own.
local of_text = getmetatable("")
of_text.__index = safe_string
of_text.__metatable = false

local safe_table = copy(table, {})

function safe_table.move(from, first, last, to, into)
  need("table", from, "table.move")
  if (last + 0.0) - first > 1e6 then error("table.move can move at most 1000000 values", 2) end
  return move(from, first, last, to, into)
end

function safe_table.unpack(list, first, last)
  need("table", list, "table.unpack")
  first, last = first or 1, last or lengths[list] or #list
  if (last + 0.0) - first >= 250 then error("at most 250 values can be unpacked; use the table", 2) end
  return unpack(list, first, last)
end

local env = {
  assert = assert, error = error, next = next, rawequal = rawequal, rawlen = rawlen, select = select,
  tonumber = tonumber, tostring = tostring, type = type, _VERSION = _VERSION,
  math = copy(math, {randomseed = true}), utf8 = copy(utf8, {}),
  os = {time = os.time, clock = os.clock, date = os.date, difftime = os.difftime},
  string = safe_string, table = safe_table, unpack = safe_table.unpack,
}
env._G = env

function env.pcall(f, ...)
  return protected(real_pcall(f, ...))
end

function env.pairs(t)
  need("table", t, "pairs")
  return next, t, nil
end

function env.ipairs(t)
  need("table", t, "ipairs")
  local length = lengths[t]
  if not length then return real_ipairs(t) end
  local i = 0
  return function()
    i = i + 1
    if i <= length or t[i] ~= nil then return i, t[i] end
  end
end

for i = 1, #names do
  local name = names[i]
  env[name] = function(...)
    local n = select("#", ...)
    if n > most_arguments then error(name .. " was given " .. n .. " arguments", 2) end
    disarm()
    local fine, value = call(name, n, {...})
    arm()
    if fine then return value end
    failed.name, failed.text = name, value
    error(value, 0)
  end
end

local globals = _G
for name in pairs(globals) do globals[name] = nil end

local function handler(problem)
  handling = true
  failed.line = line_of_code()
  handling = false
  return problem
end

local function ended(fine, ...)
  sethook()
  disarm()
  local n = select("#", ...)
  if dead then return "timeout", TIMEOUT, dead_line end
  if not fine then
    local problem = ...
    if problem ~= nil and problem == failed.text then
      return "callback", failed.name .. ": " .. problem, failed.line
    end
    return "runtime", problem, failed.line
  end
  if n < 2 then return "ok", (...) end
  local several = {...}
  lengths[several] = n
  return "ok", several
end

local function run(code)
  local chunk, problem = load(code, "=lua", "t", env)
  if not chunk then return "syntax", problem end
  return ended(xpcall(function()
    sethook(on_count, "", 2000)
    arm()
    return chunk()
  end, handler))
end

return run, lengths
