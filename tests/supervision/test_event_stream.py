"""`EventStream.attach_task` with the tasks of this package, which it knows only by protocol."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from beamlens_actors import Actor, EventStream, Killed, Normal, StreamEnd, StreamError, offload
from beamlens_actors.testing import FakeClock
from beamlens_supervision import TaskCancelled, TaskSupervisor

LIMIT = 10.0


def test_task_produces_into_the_stream_and_may_end() -> None:
    tasks = TaskSupervisor.start()
    stream = EventStream()

    def produce() -> None:
        stream.push(1)
        stream.complete("done")

    stream.attach_task(tasks.run(produce))
    assert list(stream) == [1, StreamEnd("done")]
    tasks.stop(timeout=LIMIT)


def test_task_that_returns_without_completing_is_an_error() -> None:
    tasks = TaskSupervisor.start()
    stream = EventStream()
    stream.attach_task(tasks.run(lambda: None))
    assert list(stream) == [StreamError("task_crashed", None, Normal())]
    tasks.stop(timeout=LIMIT)


def test_cancel_kills_a_task_that_is_busy_and_not_the_actor_it_is_linked_to() -> None:
    tasks, let_go, running = TaskSupervisor.start(), threading.Event(), threading.Event()

    class Owner(Actor):
        def on_receive(self, message: Any) -> Any:
            return message()

    def hang() -> None:
        running.set()
        offload(let_go.wait, LIMIT)

    owner = Owner.start()
    try:
        with FakeClock() as clock:
            task = owner.ask(lambda: tasks.run(hang))
            assert running.wait(LIMIT)
            stream = EventStream(timeout=None)
            stream.attach_task(task)
            stream.cancel("unwanted")
            with pytest.raises(TaskCancelled):
                task.result()
            clock.advance(0.1)
            assert task.ref.join(timeout=None) == Killed()
            assert owner.ask(lambda: "alive") == "alive"
    finally:
        let_go.set()
        owner.stop(timeout=LIMIT)
        tasks.stop(timeout=LIMIT)
