"""Runs are done strictly in order; whoever is gone loses the place; nobody hangs."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from beamlens.errors import AlreadyAwaiting, BeamlensError, Cancelled
from beamlens.findings import RunHandle
from beamlens.operator import Invoke, OperatorActor
from beamlens.operator.queue import QueueFull, RunQueue
from beamlens.testing import ScriptedClient
from beamlens_actors import Crash
from beamlens_actors.testing import FakeClock
from beamlens_supervision import Supervisor
from tests.support.agents import Queue, services
from tests.support.operators import DONE, LOOK, fire, operating


class Gate:
    """A client whose calls end one by one, and that remembers in which order it was asked."""

    model = "gate"

    def __init__(self):
        self.client = ScriptedClient([self._pass], repeat_last=True, model="gate")
        self.open = threading.Semaphore(0)
        self.reasons = []
        self.active = self.most = 0

    def complete(self, request, *, abort):
        return self.client.complete(request, abort=abort)

    def _pass(self, request):
        told = "\n".join(block.text for block in request.messages[0].content)
        self.reasons.append(told.partition("Reason: ")[2].partition("\n")[0])
        self.active += 1
        self.most = max(self.most, self.active)
        assert self.open.acquire(timeout=20)
        self.active -= 1
        return DONE

    def let(self, count):
        for _ in range(count):
            self.open.release()


def test_runs_are_done_in_the_order_they_were_asked_for():
    gate = Gate()
    with operating(gate) as one:
        handles = [one.ask({"reason": str(number)}) for number in range(8)]
        gate.client.wait_for_calls(1)
        assert (one.status().queued, one.status().running) == (7, True)
        gate.let(8)
        for handle in handles:
            handle.result(20)
    assert gate.reasons == [str(number) for number in range(8)]


def test_runs_asked_for_by_many_threads_are_all_done_and_never_two_at_a_time():
    gate, handles = Gate(), []
    with operating(gate) as one:
        threads = [threading.Thread(target=lambda: handles.append(one.ask())) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gate.let(12)
        for handle in handles:
            assert handle.result(20) == []
        assert one.status().runs == 12
    assert gate.most == 1


def test_a_run_that_is_cancelled_in_the_queue_loses_its_place_and_nobody_elses():
    gate = Gate()
    with operating(gate) as one:
        first, second, third = (one.ask({"reason": word}) for word in ("first", "second", "third"))
        gate.client.wait_for_calls(1)
        assert second.cancel()
        with pytest.raises(Cancelled, match="before it began"):
            second.result(1)
        assert one.status().queued == 1
        gate.let(2)
        assert (first.result(20), third.result(20)) == ([], [])
    assert gate.reasons == ["first", "third"]
    assert second.report is None


def test_a_run_whose_asker_is_gone_when_its_turn_comes_is_not_done():
    gate, there = Gate(), [True]
    with operating(gate) as one:
        first = one.ask({"reason": "first"})
        second = one.ask({"reason": "second"}, wanted=lambda: there[0])
        gate.client.wait_for_calls(1)
        there[0] = False
        gate.let(2)
        first.result(20)
        with pytest.raises(Cancelled, match="is gone"):
            second.result(20)
    assert gate.reasons == ["first"]


def test_a_full_queue_is_a_clear_error_and_those_who_cancelled_keep_no_place():
    queue = RunQueue(most=2)
    requests = [Invoke(RunHandle("queue")) for _ in range(3)]
    queue.put(requests[0])
    queue.put(requests[1])
    with pytest.raises(QueueFull, match="the operator queue has 2 runs in line, which is the most"):
        queue.put(requests[2])
    requests[0].handle.cancel()
    queue.put(requests[2])
    assert queue.next() is requests[1]


def test_a_run_beyond_the_bound_is_refused_to_whoever_asks(monkeypatch):
    monkeypatch.setattr("beamlens.operator.actor.RunQueue", lambda: RunQueue(most=1))
    gate = Gate()
    with operating(gate) as one:
        handles = [one.ask() for _ in range(3)]
        with pytest.raises(BeamlensError, match="has 1 runs in line"):
            handles[2].result(10)
        gate.let(2)
        assert (handles[0].result(20), handles[1].result(20)) == ([], [])


def test_a_second_waiter_is_told_that_somebody_waits_already():
    gate = Gate()
    with operating(gate) as one:
        handle = one.ask()
        first = threading.Thread(target=handle.result)
        first.start()
        while not handle._awaited:
            gate.client.wait_for_calls(1)
        with pytest.raises(AlreadyAwaiting):
            handle.result(1)
        gate.let(1)
        first.join()
        assert handle.result() == []


def test_whoever_waits_too_long_may_wait_again():
    gate = Gate()
    with FakeClock() as clock, operating(gate) as one:
        handle, caught = one.ask(), []

        def wait():
            try:
                handle.result(5.0)
            except TimeoutError as error:
                caught.append(str(error))

        gate.client.wait_for_calls(1)
        waiting = threading.Thread(target=wait)
        waiting.start()
        while waiting.is_alive():
            clock.advance(1.0)
            waiting.join(0.02)
        gate.let(1)
        assert handle.result() == []
    assert caught == ["the run of queue has not ended within 5 s; it is running"]


def test_asyncio_waits_by_the_same_clock_and_may_wait_again():
    gate = Gate()
    with operating(gate) as one:
        handle = one.ask()

        async def wait():
            with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
                await handle.wait(0.01)
            gate.let(1)
            return await handle.wait()

        assert asyncio.run(wait()) == []


def test_withdrawing_from_a_run_in_progress_leaves_it_alone():
    gate = Gate()
    with operating(gate) as one:
        handle = one.ask()
        gate.client.wait_for_calls(1)
        assert not handle.withdraw()
        gate.let(1)
        assert handle.result(20) == []


# -- ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end", [lambda ref: ref.kill(), lambda ref: ref.stop(), lambda ref: ref.exit(Crash(ValueError("boom")))]
)
def test_when_the_operator_ends_nobody_hangs_neither_running_nor_queued_nor_asked_after(end):
    client = ScriptedClient([LOOK, fire(), ScriptedClient.HANG])
    with operating(client) as one:
        handles = [one.ask() for _ in range(3)]
        client.wait_for_calls(3)
        end(one.ref)
        for handle in (*handles, one.ask(), one.say("and now?")):
            with pytest.raises(Cancelled, match="the operator queue"):
                handle.result(10)
    assert [alert.anomaly_type for alert in handles[0].report.alerts] == ["deep_queue"]
    assert handles[0].report.stopped_by == "cancelled"


def test_the_error_names_the_crash():
    with operating(ScriptedClient([ScriptedClient.HANG])) as one:
        handle = one.ask()
        one.ref.exit(Crash(ValueError("boom")))
        with pytest.raises(Cancelled, match="boom"):
            handle.result(10)


def test_a_supervisor_starts_one_that_was_killed_again_and_it_answers():
    from beamlens_actors import Registry

    registry = Registry()
    client = ScriptedClient([ScriptedClient.HANG, DONE])
    with services(client) as (made, events):
        supervisor = Supervisor.start([OperatorActor.child_spec(made, Queue(), registry=registry)])
        try:
            first = registry.lookup(("operator", "queue"))
            handle = RunHandle("queue")
            first.tell(Invoke(handle))
            client.wait_for_calls(1)
            first.kill()
            with pytest.raises(Cancelled):
                handle.result(10)
            events.wait_for("operator.started", 2)
            again = RunHandle("queue")
            registry.lookup(("operator", "queue")).tell(Invoke(again))
            assert again.result(10) == []
        finally:
            supervisor.stop()


def test_when_the_task_of_a_run_is_killed_its_asker_is_told_and_the_next_run_is_done():
    told = []
    client = ScriptedClient([LOOK, fire(), ScriptedClient.HANG, DONE])
    with operating(client, notify=told.append) as one:
        handle, after = one.ask(), one.ask()
        client.wait_for_calls(3)
        (task,) = [child.ref for child in one.services.loop_tasks().which_children() if child.ref.name == "queue:run"]
        task.kill()
        with pytest.raises(Cancelled, match="ended from outside"):
            handle.result(10)
        assert after.result(10) == []
        assert one.status().runs == 2
    assert handle.report.stopped_by == "cancelled"
    assert [alert.anomaly_type for alert in handle.report.alerts] == ["deep_queue"]


def test_the_end_of_another_run_does_not_end_this_one():
    gate = Gate()
    with operating(gate) as one:
        from beamlens.operator.actor import _RunEnded

        handle = one.ask()
        gate.client.wait_for_calls(1)
        one.ref.ask(_RunEnded(Invoke(RunHandle("queue")), None, None))
        assert one.status().running
        gate.let(1)
        assert handle.result(20) == []


# -- all ways at once ------------------------------------------------------------------------------------------


class QueueMachine(RuleBasedStateMachine):
    """Asks, begins, ends, cancels, withdraws and leaves in any order, beside a list that says what must be."""

    asked = Bundle("asked")

    def __init__(self):
        super().__init__()
        self.queue, self.waiting, self.current, self.gone = RunQueue(most=4), [], None, set()
        self.told: dict[str, int] = {}
        self.closed = False

    @rule(target=asked)
    def ask(self):
        number = len(self.told)
        name = f"run{number}"
        self.told[name] = 0

        def complete(_handle):
            self.told[name] += 1

        handle = RunHandle(name, on_complete=complete, wanted=lambda: name not in self.gone)
        request = Invoke(handle)
        try:
            self.queue.put(request)
        except QueueFull:
            assert len([one for one in self.waiting if one.handle.state == "queued"]) == 4
            handle.fail(Cancelled("full"))
        except BeamlensError:
            assert self.closed
            handle.fail(Cancelled("closed"))
        else:
            self.waiting.append(request)
        return request

    @rule()
    def begin(self):
        request = self.queue.next()
        if self.current is not None or self.closed:
            assert request is None
            return
        for one in list(self.waiting):
            self.waiting.remove(one)
            if one.handle.name in self.gone and one.handle.state == "done" and one is not request:
                continue
            if one is request:
                break
            assert one.handle.state == "done"
        else:
            assert request is None
        self.current = request
        assert request is None or request.handle.state == "running"

    @rule(ok=st.booleans())
    def end(self, ok):
        request, self.current = self.current, None
        if request is None:
            return
        assert self.queue.ended(request) is not self.closed
        before = request.handle.state
        ended = request.handle.finish([]) if ok else request.handle.fail(Cancelled("x"))
        assert ended is (before != "done")
        assert self.told[request.handle.name] == 1

    @rule(request=asked)
    def cancel(self, request):
        before = request.handle.state
        assert request.handle.cancel() is (before != "done")
        assert request.handle.state == ("running" if before == "running" else "done")

    @rule(request=asked)
    def withdraw(self, request):
        before = request.handle.state
        assert request.handle.withdraw() is (before == "queued")
        assert request.handle.state == ("running" if before == "running" else "done")

    @rule(request=consumes(asked))
    def leave(self, request):
        self.gone.add(request.handle.name)

    @rule()
    def close(self):
        for request in self.queue.close():
            request.handle.fail(Cancelled("closed"))
        self.closed = True
        assert all(one.handle.state == "done" for one in self.waiting)
        self.waiting.clear()

    @invariant()
    def each_is_told_once_when_it_is_done(self):
        assert all(count <= 1 for count in self.told.values())
        wanted = [one for one in self.waiting if one.handle.state == "queued"]
        assert len(self.queue) == len(wanted)


QueueMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestQueueMachine = QueueMachine.TestCase
