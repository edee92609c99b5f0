"""What the tests of tasks share."""

from __future__ import annotations

import threading
from typing import Any

from beamlens_actors import Actor, offload
from beamlens_supervision import Task
from tests.supervision.helpers import LIMIT, Boom


class Caller(Actor):
    """Starts tasks; traps exits when told to."""

    def __init__(self, trap: bool = False) -> None:
        super().__init__()
        self.trap_exit = trap

    def on_receive(self, message: Any) -> Any:
        return message(self)


def fail() -> None:
    raise Boom("task")


def wait_on(gate: threading.Event, entered: threading.Event | None = None, value: Any = None) -> Any:
    if entered is not None:
        entered.set()
    offload(gate.wait, LIMIT)
    return value


def hanging(sup: Any, gate: threading.Event, **options: Any) -> Task[Any]:
    entered = threading.Event()
    task: Task[Any] = sup.run(wait_on, gate, entered, "late", **options)
    assert entered.wait(LIMIT)
    return task
