"""Queues of every kind are found where they are, and read without running the host's code."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import pykka
import pytest

from beamlens.domains.overload.queues import Paced, Queues
from beamlens.probes import executors
from beamlens_actors import Actor
from beamlens_actors.testing import FakeClock

HELD_BY_A_MODULE = queue.Queue(maxsize=7)


def looked(queues, name):
    """The looks at queues whose name contains a text."""
    return [look for look in queues.look() if name in look.name]


def test_a_registered_queue_is_read_with_its_bound():
    jobs = queue.Queue(maxsize=9)
    queues = Queues({"jobs": jobs, "simple": queue.SimpleQueue()})
    for number in range(4):
        jobs.put(number)
    (look,) = looked(queues, "jobs")
    assert (look.depth, look.capacity, look.kind) == (4, 9, "queue")
    assert looked(queues, "simple") == []  # nobody else holds it: it is gone


def test_a_queue_is_not_kept_alive():
    jobs = queue.Queue()
    queues = Queues({"jobs": jobs})
    assert len(looked(queues, "jobs")) == 1
    del jobs
    gc.collect()
    assert looked(queues, "jobs") == []


def test_a_subclass_is_read_without_its_code():
    class Strange(queue.Queue):
        def qsize(self):
            raise RuntimeError("touched")

        def _qsize(self):
            raise RuntimeError("touched")

        def __getattribute__(self, name):
            raise RuntimeError("touched")

    jobs = object.__new__(Strange)
    object.__setattr__(jobs, "queue", __import__("collections").deque([1, 2]))
    (look,) = looked(Queues({"strange": jobs}), "strange")
    assert (look.depth, look.capacity) == (2, None)


def test_an_executor_is_found_with_its_workers():
    over, began = threading.Event(), threading.Semaphore(0)

    def work():
        began.release()
        over.wait()

    with ThreadPoolExecutor(3, thread_name_prefix="resize") as pool:
        try:
            for _ in range(10):
                pool.submit(work)
            for _ in range(3):
                began.acquire(timeout=10)
            (look,) = looked(Queues(), "executor resize")
            assert (look.depth, look.kind, len(look.consumers)) == (7, "executor", 3)
            items = executors.content(look.key)
            assert len(items) == 7
            del items
        finally:
            over.set()


def test_executors_of_ours_are_not_the_hosts():
    with ThreadPoolExecutor(1, thread_name_prefix="beamlens-own") as pool:
        pool.submit(int).result()
        assert looked(Queues(), "beamlens-own") == []


class Sorter(Actor):
    """An actor of a user's."""

    def on_receive(self, message):
        message.wait(30)


def test_the_mailbox_of_an_actor_of_ours_is_read_with_its_bound_and_its_thread():
    over = threading.Event()
    ref = Sorter.options(name="sorter").start()
    try:
        for _ in range(5):
            ref.tell(over)
        for _ in range(500):
            (look,) = looked(Queues(), "mailbox of sorter")
            if look.depth == 4:
                break
            threading.Event().wait(0.01)
        assert (look.depth, look.capacity, look.kind, len(look.consumers)) == (4, 10_000, "actor", 1)
    finally:
        over.set()
        ref.stop()


def test_the_mailbox_of_a_pykka_actor_is_read():
    over, began = threading.Event(), threading.Event()

    class Stock(pykka.ThreadingActor):
        def on_receive(self, message):
            began.set()
            over.wait(30)

    ref = Stock.start()
    try:
        for _ in range(4):
            ref.tell("go")
        began.wait(10)
        (look,) = looked(Queues(), "mailbox of Stock")
        assert (look.depth, look.capacity, look.kind) == (3, None, "actor")
    finally:
        over.set()
        ref.stop()


def test_a_queue_that_a_thread_waits_in_is_found_with_that_thread_as_its_consumer():
    jobs = queue.Queue()
    queues = Queues()
    worker = threading.Thread(target=jobs.get, name="packer")
    worker.start()
    try:
        found = []
        for _ in range(500):
            found = looked(queues, "queue of thread packer")
            if found:
                break
            threading.Event().wait(0.01)
        assert found[0].consumers == (worker.ident,)
    finally:
        jobs.put(None)
        worker.join(10)


def test_a_queue_that_a_module_holds_is_found_by_the_walk_with_its_name():
    with FakeClock() as clock:
        queues = Queues()
        assert looked(queues, "HELD_BY_A_MODULE") == []
        queues.search()
        assert looked(queues, "HELD_BY_A_MODULE") == []
        clock.advance(6)
        queues.search()
        (look,) = looked(queues, "HELD_BY_A_MODULE")
    assert (look.depth, look.capacity) == (0, 7)


def test_a_queue_that_was_found_by_its_thread_gets_the_name_that_the_walk_finds():
    with FakeClock() as clock:
        queues = Queues({"queue of thread packer": HELD_BY_A_MODULE})
        clock.advance(6)
        queues.search()
        (look,) = looked(queues, "HELD_BY_A_MODULE")
    assert look.name.endswith("test_queues.HELD_BY_A_MODULE")


def test_tasks_and_the_ready_queue_of_a_loop_are_counted():
    async def main():
        loop = asyncio.get_running_loop()
        waiting = [loop.create_task(asyncio.sleep(30)) for _ in range(12)]
        await asyncio.sleep(0)
        found = {look.kind: look for look in await asyncio.to_thread(Queues().look) if "event loop" in look.name}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return found

    found = asyncio.run(main())
    assert found["tasks"].depth == 13
    assert found["tasks"].consumers == (threading.get_ident(),)
    assert found["loop"].depth >= 0


def test_looks_are_at_most_twice_a_second():
    with FakeClock() as clock:
        paced = Paced(Queues())
        assert paced.look() is True
        assert paced.look() is False
        clock.advance(40)
        assert paced.look() is True


@pytest.mark.parametrize("one", [5, "jobs", None, [1, 2]])
def test_what_is_no_queue_is_not_taken_for_one(one):
    assert looked(Queues({"one": one}), "one") == []
