"""Runs of the agent loop for tests: tools that misbehave, what was told, what the model was shown."""

from __future__ import annotations

import threading

from pydantic import BaseModel

from beamlens.agent import AgentLoop, Limits, Tool, ToolError
from beamlens.llm.client import ToolOutput
from beamlens_actors import AbortSignal
from tests.support.agents import services


class Nothing(BaseModel):
    """No arguments."""


class Number(BaseModel):
    """A number."""

    value: int


def raise_(error):
    raise error


ADD = Tool("add", lambda arguments: {"sum": arguments.value + 1}, Number)
REFUSE = Tool("refuse", lambda _a: raise_(ToolError("not today")), Nothing)
CRASH = Tool("crash", lambda _a: raise_(ValueError("oops")), Nothing)
END = Tool("end", lambda _a: "over", Nothing, ends_run=True)
TOOLS = [ADD, REFUSE, CRASH, END]


class Run:
    """One run, and all that can be known of it afterwards."""

    def __init__(
        self, client, tools=TOOLS, *, limits=None, abort=None, opening="Begin.", history=(), hear=None, **options
    ):
        self.told = []
        listener = self.told.append if hear is None else lambda event: (self.told.append(event), hear(event))
        self.client = client
        self.abort = abort or AbortSignal()
        wanted = options.pop("services", {})
        with services(client, **wanted) as (made, self.events):
            self.services = made
            self.loop = AgentLoop(
                made,
                kind=options.pop("kind", "agent"),
                agent="tester",
                system="You test.",
                tools=tools,
                abort=self.abort,
                limits=limits or Limits(max_iterations=10),
                listener=listener,
                **options,
            )
            self.outcome = self.loop.run(opening, history=history)

    def types(self):
        return [event.type for event in self.told]

    def results(self):
        """All tool results, in the order of their calls."""
        return [result for event in self.told if event.type == "turn_end" for result in event.results]

    def kinds(self):
        return [result.error_type for result in self.results()]


def outputs(client, call=-1):
    """The tool outputs that a request ended with."""
    return [block for block in client.requests[call].messages[-1].content if isinstance(block, ToolOutput)]


def in_background(fn):
    """Run `fn` on a thread; the function that waits for its value."""
    done = []
    thread = threading.Thread(target=lambda: done.append(fn()))
    thread.start()

    def wait(timeout=10.0):
        thread.join(timeout)
        assert not thread.is_alive()
        return done[0]

    wait.alive = thread.is_alive
    return wait
