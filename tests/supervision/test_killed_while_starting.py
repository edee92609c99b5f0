from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from beamlens_actors import Actor, ActorRef, Killed, NoProcess, clock, context, set_default_backend
from beamlens_actors.backends import BACKENDS
from beamlens_supervision import ChildSpec, Supervisor
from beamlens_supervision.parent import Request
from tests.supervision.helpers import LIMIT


class Slow(Actor):
    """Waits in `on_start` until its token is released."""

    def __init__(self, begun: list[ActorRef[Any]], tokens: list[clock.Token], waits: threading.Event) -> None:
        super().__init__()
        self.begun, self.tokens, self.waits = begun, tokens, waits

    def on_start(self) -> None:
        token = context.make_token()
        self.begun.append(self.actor_ref)
        self.tokens.append(token)
        self.waits.set()
        clock.acquire(token, LIMIT)


@pytest.fixture(params=BACKENDS)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    set_default_backend(request.param)
    yield
    set_default_backend("threads")


@pytest.mark.usefixtures("_backend")
def test_a_child_of_a_supervisor_that_is_killed_while_it_starts_it_ends_too() -> None:
    begun: list[ActorRef[Any]] = []
    tokens: list[clock.Token] = []
    waits = threading.Event()
    sup = Supervisor.start()
    sup.ask(Request("start_child", (ChildSpec("slow", Slow.start, (begun, tokens, waits)),)), block=False)
    assert waits.wait(LIMIT)
    assert sup.kill()
    clock.release(tokens[0])
    # By hand, or by the link, which finds its supervisor dead.
    assert begun[0].join(LIMIT) in {Killed(), NoProcess()}
