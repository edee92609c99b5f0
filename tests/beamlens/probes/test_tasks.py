from __future__ import annotations

import asyncio
import time

from beamlens.probes import tasks
from beamlens.probes.tasks import Ages
from beamlens_actors.testing import FakeClock


async def inner(event):
    await event.wait()  # awaits


async def outer(event):
    await inner(event)


def line_of(mark):
    with open(__file__) as file:
        return next(number for number, line in enumerate(file, 1) if line.rstrip().endswith(f"# {mark}"))


def run_with(count, look, coroutine=outer):
    async def main():
        event = asyncio.Event()
        made = [asyncio.create_task(coroutine(event)) for _ in range(count)]
        await asyncio.sleep(0)
        found = await asyncio.to_thread(look)
        event.set()
        await asyncio.gather(*made)
        return found

    return asyncio.run(main())


def test_tasks_are_told_by_the_line_of_the_program_at_which_they_wait():
    row = run_with(5, lambda: tasks.waiting()[0])
    assert (row.coroutine, row.count) == ("outer", 5)
    assert (row.place.file, row.place.line, row.place.function) == (__file__, line_of("awaits"), "inner")
    assert row.awaits == "Event.wait (asyncio.locks)"


def test_all_tasks_are_counted_and_only_so_many_read():
    count, read = run_with(300, lambda: (tasks.count(), sum(row.count for row in tasks.waiting(most=100))))
    assert count >= 300
    assert read == 100


def test_tasks_that_ended_do_not_wait():
    async def main():
        task = asyncio.create_task(asyncio.sleep(0))
        await task
        return [row.coroutine for row in await asyncio.to_thread(tasks.waiting)], task.done()

    found, done = asyncio.run(main())
    assert done
    assert "sleep" not in found


def test_without_asyncio_there_are_no_tasks(monkeypatch):
    monkeypatch.delitem(__import__("sys").modules, "asyncio.tasks")
    assert (tasks.count(), tasks.waiting()) == (0, [])


def test_a_task_that_is_no_task_of_asyncio_s_does_not_stop_the_look(monkeypatch):
    class Odd:
        def done(self):
            return False

        def get_coro(self):
            raise RuntimeError("odd")

        def get_name(self):
            raise RuntimeError("odd")

    monkeypatch.setattr(tasks, "tasks", lambda _most: [Odd()])
    assert tasks.waiting() == []
    assert tasks.highest() == 0


def test_the_age_of_a_task_is_told_by_its_number_at_least():
    ages = Ages()
    with FakeClock() as clock:
        ages.note(10)
        clock.advance(60)
        ages.note(20)
        ages.note(20)
        clock.advance(5)
        assert ages.at_least(7) == 65.0
        assert ages.at_least(15) == 5.0
        assert ages.at_least(21) is None
        assert ages.at_least(0) is None


def test_the_oldest_task_of_a_line_is_known_once_it_was_noted():
    ages = Ages()

    def look():
        tasks.waiting(ages)
        began = time.monotonic()
        return tasks.waiting(ages)[0].oldest_s, began

    oldest, _began = run_with(3, look)
    assert oldest >= 0.0
