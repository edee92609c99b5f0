"""Operators for tests: one over real task supervisors, and the words that scripts say."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager

from beamlens.findings import RunHandle, status
from beamlens.operator import Invoke, OperatorActor, Say, send
from beamlens.testing import tool
from tests.support.agents import Queue, services

DONE = tool("done")
LOOK = tool("take_snapshot")


class Operating:
    """An operator, its events, and short ways to ask it."""

    def __init__(self, ref, events, made):
        self.ref, self.events, self.services = ref, events, made

    def ask(self, context=None, **options):
        """Ask for a run; its handle."""
        callbacks = {key: options.pop(key) for key in ("on_notification", "on_complete", "wanted") if key in options}
        handle = RunHandle("queue", **callbacks)
        send(self.ref, Invoke(handle, context or {}, **options))
        return handle

    def run(self, context=None, **options):
        """Run, and give the handle once it has ended."""
        handle = self.ask(context, **options)
        handle.result(20)
        return handle

    def say(self, prompt, timeout=10.0):
        """Ask a question; its handle."""
        handle = RunHandle("queue")
        send(self.ref, Say(handle, prompt, timeout))
        return handle

    def status(self):
        return self.ref.ask(status, timeout=5)


@contextmanager
def operating(client, domain=None, service_options=None, **options):
    """An operator over the test queue."""
    with services(client, **(service_options or {})) as (made, events):
        ref = OperatorActor.start(made, domain or Queue(), **{"name": "queue", **options})
        try:
            yield Operating(ref, events, made)
        finally:
            ref.stop()


def cited(request):
    """The id of the last snapshot that a request shows."""
    outputs = [block.content for message in request.messages for block in message.content if hasattr(block, "call_id")]
    return re.findall(r'"id": "([0-9a-f]{16})"', " ".join(outputs))[-1]


def fire(kind="deep_queue", severity="warning", observation="depth is 1"):
    """A function for a script: reports something, citing the last snapshot."""

    def call(request):
        return tool(
            "fire_alert",
            type=kind,
            severity=severity,
            context="the queue",
            observation=observation,
            snapshot_ids=[cited(request)],
        )

    return call


def pass_time(clock, handle, step=0.5):
    """Let fake time go on until a run has ended; its seconds, to a step."""
    ended = threading.Event()
    handle.add_done_callback(ended.set)
    began = clock.monotonic()
    while not ended.wait(0.02):
        clock.advance(step)
    return clock.monotonic() - began
