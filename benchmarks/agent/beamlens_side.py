"""Beamlens: each measure as a function."""

from __future__ import annotations

import dataclasses
import statistics
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from pydantic import BaseModel

from beamlens.agent import (
    Agent,
    AgentCore,
    AgentEnd,
    Batch,
    CompactionPolicy,
    Limits,
    MessageUpdate,
    RunOutcome,
    Tool,
    run_agent,
)
from beamlens.agent.compaction import HEADING, compact
from beamlens.findings.facts import Pool, check
from beamlens.llm.client import Message, Text, ToolCall, ToolOutput
from beamlens.lua import Sandbox
from beamlens.testing import ScriptedClient, streamed, tool
from beamlens_actors import Registry
from benchmarks.agent import journal
from benchmarks.agent.measures import Side, Sizes, Values, median_of, must, took
from benchmarks.agent.samples import OBSERVATION, RESULT, UNITS, snapshots

_KEEP = 5


class Look(BaseModel):
    """Look."""

    number: int


def _look(arguments: Look) -> str:
    return f"seen {arguments.number}"


def _tools(seconds: float = 0.0) -> list[Tool]:
    def wait(arguments: Look) -> str:
        time.sleep(seconds)
        return _look(arguments)

    return [Tool("look", wait if seconds else _look, Look)]


def _script(turns: int, calls: int = 1) -> list[Any]:
    return [*([tool("look", number=number) for number in range(calls)] for _ in range(turns)), "done"]


def _run(core: AgentCore, turns: int, calls: int, tools: list[Tool], limits: Limits) -> RunOutcome:
    client = ScriptedClient(_script(turns, calls))
    stream = run_agent("go", client=client, system_prompt="Look.", tools=tools, limits=limits, core=core)
    outcome: RunOutcome = stream.result(60.0)
    must(outcome.stopped_by == "answered" and outcome.iterations == turns + 1, f"{outcome.stopped_by} {outcome.error}")
    return outcome


def loop(sizes: Sizes) -> Values:
    limits = Limits(max_iterations=sizes.turns + 1)
    with AgentCore.start() as core:
        seconds = median_of(lambda: _run(core, sizes.turns, 1, _tools(), limits), sizes.runs)
    return {"loop": seconds / sizes.turns * 1e6}


def fan_out(sizes: Sizes) -> Values:
    default, wide = Limits(), Limits(max_tool_concurrency=sizes.calls)
    variants = (
        ("fan_out", default, _tools()),
        ("fan_out_wide", wide, _tools()),
        ("fan_out_waiting", wide, _tools(sizes.sleep)),
    )
    found = {}
    with AgentCore.start() as core:
        for key, limits, tools in variants:
            found[key] = median_of(partial(_run, core, 1, sizes.calls, tools, limits), sizes.runs) * 1e3
    return found


# -- events ------------------------------------------------------------------------------------------------------


def events(sizes: Sizes) -> Values:
    with AgentCore.start() as core:
        alone, heard = [], []
        for _ in range(max(1, sizes.runs // 3)):
            alone.append(_publish(core, sizes, 0)[0])
            heard.append(_publish(core, sizes, sizes.subscribers))
        live = [_live(core, sizes) for _ in range(max(1, sizes.runs // 3))]
    quiet = statistics.median(alone)
    return {
        "events_queued": statistics.median(count / seconds for seconds, count, _ in heard) / 1e3,
        "events_added": statistics.median((seconds - quiet) / count for seconds, count, _ in heard) * 1e6,
        "events_read": statistics.median(count / reading for _, count, reading in heard) / 1e3,
        "events_live": statistics.median(live) / 1e3,
    }


def _publish(core: AgentCore, sizes: Sizes, subscribers: int) -> tuple[float, int, float]:
    """Seconds of a run, events that its subscribers have, seconds to read them."""
    ref = Agent.start(
        "Look.", _tools(), ScriptedClient(_script(sizes.turns)), Limits(max_iterations=sizes.turns + 1), core=core
    )
    streams = [ref.subscribe(capacity=10_000).stream for _ in range(subscribers)]

    def run() -> None:
        ref.prompt("go")
        ref.wait_for_idle(60.0)

    seconds = took(run)
    ref.stop()
    began = time.perf_counter()
    count = sum(sum(1 for _ in stream) for stream in streams if stream is not None)
    return seconds, count, time.perf_counter() - began


def _live(core: AgentCore, sizes: Sizes) -> float:
    """Events that threads read in a second, from the prompt until the last has the last."""
    ref = Agent.start(
        "Look.", _tools(), ScriptedClient(_script(sizes.turns)), Limits(max_iterations=sizes.turns + 1), core=core
    )
    counts: list[int] = []

    def read(stream: Any) -> None:
        count = 0
        for said in stream:
            count += 1
            if isinstance(said.event, AgentEnd):
                break
        counts.append(count)

    threads = [
        threading.Thread(target=read, args=(ref.subscribe(capacity=10_000).stream,), daemon=True)
        for _ in range(sizes.subscribers)
    ]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    ref.prompt("go")
    for thread in threads:
        thread.join(60.0)
    seconds = time.perf_counter() - began
    ref.stop()
    must(len(counts) == sizes.subscribers and len(set(counts)) == 1, f"subscribers read {sorted(set(counts))} events")
    return sum(counts) / seconds


# -- an answer in pieces -----------------------------------------------------------------------------------------


def pieces(sizes: Sizes) -> Values:
    found: Values = {}
    with AgentCore.start() as core:
        for suffix, batch in (("", None), ("_batched", Batch())):
            queued = [_stream(core, sizes, batch, live=False) for _ in range(max(1, sizes.runs // 3))]
            live = [_stream(core, sizes, batch, live=True) for _ in range(max(1, sizes.runs // 3))]
            told = sizes.pieces * sizes.subscribers / 1e3
            found[f"pieces_queued{suffix}"] = statistics.median(told / seconds for seconds, _ in queued)
            found[f"pieces_live{suffix}"] = statistics.median(told / seconds for seconds, _ in live)
            found[f"pieces_events{suffix}"] = float(statistics.median(count for _, count in live))
    return found


def _stream(core: AgentCore, sizes: Sizes, batch: Batch | None, *, live: bool) -> tuple[float, float]:
    """Seconds of an answer, until all have read it if they read along; events that each subscriber got of it."""
    client = ScriptedClient([streamed(*(["word "] * sizes.pieces))])
    ref = Agent.start("Look.", client=client, core=core)
    streams = [ref.subscribe(capacity=10_000, batch=batch).stream for _ in range(sizes.subscribers)]
    found: list[tuple[str, int]] = []

    def read(stream: Any) -> None:
        updates = [said.event for said in _until_end(stream) if isinstance(said.event, MessageUpdate)]
        found.append(("".join(event.text for event in updates), len(updates)))

    threads = [threading.Thread(target=read, args=(stream,), daemon=True) for stream in streams]
    began = time.perf_counter()
    for thread in threads if live else ():
        thread.start()
    ref.prompt("go")
    ref.wait_for_idle(60.0)
    seconds = time.perf_counter() - began
    for thread in threads:
        if not live:
            thread.start()
        thread.join(60.0)
    seconds = time.perf_counter() - began if live else seconds
    ref.stop()
    must(
        len(found) == sizes.subscribers and all(text == "word " * sizes.pieces for text, _ in found),
        "subscribers heard something else",
    )
    return seconds, statistics.mean(count for _, count in found)


def _until_end(stream: Any) -> Iterator[Any]:
    for said in stream:
        yield said
        if isinstance(said.event, AgentEnd):
            return


# -- Lua ---------------------------------------------------------------------------------------------------------


def lua(sizes: Sizes) -> Values:
    with Sandbox({"look": lambda number: number}, timeout=30.0) as sandbox:
        first = took(lambda: must(sandbox.run("return 1") == 1, "Lua"))
        run = median_of(lambda: sandbox.run("return 1"), sizes.repeats)
        code = f"local n = 0 for i = 1, {sizes.callbacks} do n = look(i) end return n"
        must(sandbox.run(code) == sizes.callbacks, "Lua callbacks")
        called = median_of(lambda: sandbox.run(code), sizes.runs)
    return {"lua_first": first * 1e3, "lua_run": run * 1e6, "lua_callback": (called - run) / sizes.callbacks * 1e6}


# -- compaction --------------------------------------------------------------------------------------------------


def compaction(sizes: Sizes) -> Values:
    talk = _conversation(sizes.messages)
    small, large = (CompactionPolicy(most, _KEEP) for most in (100, 10_000_000))
    shorter = compact(talk, small, lambda _record: "It grows.")
    must(shorter is not None and shorter.replaced >= sizes.messages - _KEEP - 1, "nothing was compacted")
    found = {"compaction": median_of(lambda: compact(talk, small, lambda _record: "It grows."), sizes.runs) * 1e3}
    with AgentCore.start() as core:
        for key, policy, script in (
            ("compaction_not", large, ["done"]),
            ("compaction_run", small, ["It grows.", "done"]),
        ):
            services = dataclasses.replace(core.services, compaction=policy)
            ground = AgentCore(services, core.registry, Registry())
            found[key] = median_of(partial(_answer, ground, script, talk), sizes.runs) * 1e3
    return found


def _answer(core: AgentCore, script: list[str], talk: list[Message]) -> None:
    client = ScriptedClient(script)
    outcome: RunOutcome = run_agent("go", client=client, history=talk, core=core).result(60.0)
    must(outcome.stopped_by == "answered" and len(client.requests) == len(script), outcome.error)
    first = client.requests[-1].messages[0].content[0]
    must((HEADING in getattr(first, "text", "")) == (len(script) == 2), "the conversation the model got")


def _conversation(count: int) -> list[Message]:
    """Turns of a watcher: a tool call and its result, with an id in each."""
    messages = [Message.user("Look at the runtime.")]
    while len(messages) < count - 1:
        number = len(messages)
        call = ToolCall(f"call_{number}", "take_snapshot", {"number": number})
        messages.append(Message("assistant", (Text(f"Memory grew in step {number}; I look again."), call)))
        said = f'{{"id": "{number:016x}", "rss_mb": {400 + number}.5, "threads": 14}} ' + "loop lag is 3 ms; " * 10
        messages.append(Message("user", (ToolOutput(call.id, said),)))
    messages.append(Message("assistant", (Text("I see."),)))
    return messages


# -- facts -------------------------------------------------------------------------------------------------------


def facts(sizes: Sizes) -> Values:
    def ready() -> Pool:
        pool = Pool(UNITS)
        for at, data in snapshots():
            pool.add_snapshot(data, at)
        pool.add_bound("rss_mb", 512.0, 655.1)
        pool.add_text("rss_mb has risen by 59 % within 120 s")
        pool.add(RESULT)
        return pool

    verdict = check(OBSERVATION, ready())
    must(verdict.verified, f"the numbers of the observation: {verdict}")
    pools = [ready() for _ in range(sizes.repeats + 1)]  # a pool sorts its numbers at the first look
    return {
        "facts_pool": median_of(ready, sizes.repeats) * 1e6,
        "facts_check": median_of(lambda: check(OBSERVATION, pools.pop()), sizes.repeats) * 1e6,
    }


SIDE: Side = {
    "loop": loop,
    "fan-out": fan_out,
    "events": events,
    "pieces": pieces,
    "lua": lua,
    "compaction": compaction,
    "facts": facts,
    "journal": journal.beamlens,
}
