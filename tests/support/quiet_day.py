"""A quiet day of watchers with a scripted model, and what it would have cost: each call with its reason and price."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field

from beamlens.agent.budget import most_input_tokens
from beamlens.domains import built_in
from beamlens.findings import status
from beamlens.llm.client import Completion, ToolOutput, Usage
from beamlens.llm.pricing import cost
from beamlens.testing import tool
from beamlens.watcher import WatcherActor
from beamlens_actors import Registry
from beamlens_actors.testing import FakeClock
from beamlens_supervision import DynamicSupervisor
from tests.support.agents import services

MODEL = "claude-haiku-4-5-20251001"
DAY = 86_400.0
TWELVE = (
    "runtime", "ets", "gc", "logger", "exception", "ports", "sup", "system", "requests", "http_client", "overload",
    "vm_events",
)  # fmt: skip
RECOMMENDED_MS = 28_800_000
"""What the prompt says that a model should wait when all is quiet; the test looks it up there."""

# Haiku 4.5 caches no prompt below 4096 tokens. Those of watchers have less than that by the provider's count, and looks
# are hours apart while a cache lives five minutes: so nothing is taken off for a cache.
CACHED = 0


@dataclass
class Call:
    """A model call: whose, why its look began, what the model did, what it cost in US dollars."""

    watcher: str
    reason: str
    did: tuple[str, ...]
    tokens: int
    usd: float


@dataclass
class Bill:
    """The calls of a day."""

    calls: list[Call] = field(default_factory=list)

    @property
    def usd(self) -> float:
        return sum(call.usd for call in self.calls)

    def by_reason(self) -> Counter:
        return Counter((call.reason, *call.did) for call in self.calls)

    def __str__(self) -> str:
        rows = [f"{count:6}  {reason}: {', '.join(did)}" for (reason, *did), count in sorted(self.by_reason().items())]
        tokens = sum(call.tokens for call in self.calls)
        return "\n".join([*rows, f"{len(self.calls):6}  calls, at most {tokens} tokens in, ${self.usd:.3f}"])


class ObedientModel:
    """Does as the prompt says on a quiet day: takes a snapshot, and waits as long as is recommended.

    Its usage is counted from the very prompt that was sent, as a budget holds it: two bytes a token, which is about
    twice what a provider counts.
    """

    model = MODEL

    def __init__(self, wait_ms=RECOMMENDED_MS):
        self._wait_ms = wait_ms
        self.systems = set()

    def complete(self, request, *, abort):
        abort.raise_if_aborted()
        self.systems.add(request.system)
        looked = any(isinstance(block, ToolOutput) for block in request.messages[-1].content)
        text = "All metrics are within their limits." if looked else "I take a snapshot of the present state."
        call = tool("wait", ms=self._wait_ms, note="quiet; nothing to watch for") if looked else tool("take_snapshot")
        said = len(text) + len(str(call.arguments)) + len(call.name)
        usage = Usage(most_input_tokens(request), said // 2 + 50, cache_read_tokens=CACHED)
        return Completion(text, (call,), usage, "tool_use", MODEL)


def still(name):
    """A real domain with its real prompt and its real numbers, none of which its sensors mind."""
    domain = built_in(name)()
    domain.sense = dict
    return domain


def spend(names=TWELVE, *, seconds=DAY, step=None, client=None, **options):
    """Let a day pass.

    Args:
        names: The watchers.
        seconds: Fake seconds.
        step: Fake seconds between two looks at the world; by default from one wait's end to the next.
        client: The model.
        options: For the watchers.

    Returns:
        The bill, and the number of times that sensors were read.
    """
    client = client or ObedientModel()
    registry, reads = Registry(), Counter()
    with ExitStack() as stack:
        clock = stack.enter_context(FakeClock())
        made, events = stack.enter_context(services(client))
        supervisor = DynamicSupervisor.start()
        stack.callback(supervisor.stop)
        for name in names:
            domain = still(name)
            domain.sense = lambda name=name: reads.update([name]) or {}
            stack.callback(domain.close)
            supervisor.start_child(
                WatcherActor.child_spec(made, domain, lambda _alert: "", registry=registry, name=name, **options)
            )
        refs = [registry.lookup(("watcher", name)) for name in names]
        ends = clock.monotonic() + seconds
        looks = 0
        while True:
            looks += len(names)
            events.wait_for("watcher.wait", looks, timeout=None)
            left = min(ref.ask(status, timeout=10).wait_seconds for ref in refs)
            due = clock.monotonic() + left
            if due >= ends:
                _pass(clock, ends - 1, step, len(names))  # a look at its very end belongs to the next day
                return bill(events), sum(reads.values())
            _pass(clock, due, step, len(names))


def _pass(clock, until, step, watchers):
    if step is None:
        clock.advance(until - clock.monotonic())
        return
    while (left := until - clock.monotonic()) > 0:
        # Each waits to look again, and its sensors wait to read again.
        clock.wait_for_waiters(2 * watchers)
        clock.advance(min(step, left))


def bill(events):
    """What was called, why and for how much, from the events alone: as a user's receiver could count it."""
    reasons = {metadata["trace_id"]: metadata["reason"] for metadata in events.of("watcher.look_started")}
    made = Bill()
    for name, sender, numbers, metadata in list(events.all):
        if name != "llm.stop":
            continue
        usage = Usage(numbers["input_tokens"], numbers["output_tokens"], numbers["cache_read_tokens"])
        assert numbers["cost_usd"] == cost(MODEL, usage)
        made.calls.append(
            Call(
                sender,
                reasons[metadata["trace_id"]],
                tuple(metadata["tools_selected"]),
                usage.input_tokens,
                numbers["cost_usd"],
            )
        )
    return made
