from __future__ import annotations

import os
import threading

import pytest

from beamlens.agent import Dispatcher, DispatchLimits
from beamlens.errors import LLMError
from beamlens.llm.bucket import TokenBucket
from beamlens.llm.client import Message, Request
from beamlens.llm.dispatcher import Dispatched
from beamlens.telemetry import events
from beamlens.testing import ScriptedClient
from beamlens_actors import Aborted, AbortSignal
from beamlens_actors.testing import FakeClock

DOWN = LLMError("down", kind="server", retryable=True)
REFUSED = LLMError("no such key", kind="authentication", retryable=False)


class Told:
    """Collects events, each checked against the catalogue."""

    def __init__(self):
        self.names = []
        self.all = []

    def __call__(self, name, numbers, metadata):
        events.check(name, {"system_time": 0.0, **numbers}, {"instance": "i", **metadata})
        self.names.append(name)
        self.all.append((name, dict(numbers), dict(metadata)))

    def changes(self):
        return [name.removeprefix("ai.circuit_breaker.") for name in self.names if "circuit_breaker" in name]


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def clock():
    with FakeClock() as fake:
        yield fake


def make(told=None, **limits):
    return Dispatcher("Claude", DispatchLimits(**limits), report=told)


def run(dispatcher, outcome="ok", timeout=None, abort=None):
    def call():
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return dispatcher.run(call, abort=abort or AbortSignal(), timeout=timeout)


def fail(dispatcher, times=1, error=DOWN):
    for _ in range(times):
        with pytest.raises(type(error)):
            run(dispatcher, error)


class Held:
    """A call on a thread of its own, which lasts until it is let go."""

    def __init__(self, dispatcher, timeout=None):
        self.began, self._go = threading.Event(), threading.Event()
        self.abort = AbortSignal()
        self.outcome = None
        self._thread = threading.Thread(target=self._run, args=(dispatcher, timeout))
        self._thread.start()

    def _run(self, dispatcher, timeout):
        try:
            self.outcome = dispatcher.run(self._call, abort=self.abort, timeout=timeout)
        except BaseException as error:
            self.outcome = error

    def _call(self):
        self.began.set()
        assert self._go.wait(20)
        return "done"

    def let_go(self):
        self._go.set()
        return self.join()

    def join(self):
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.outcome


def holding(dispatcher, **kwargs):
    held = Held(dispatcher, **kwargs)
    assert held.began.wait(20)
    return held


# -- slots ---------------------------------------------------------------------------------------------------


def test_it_returns_what_the_call_returns():
    assert run(make()) == "ok"


def test_one_call_too_many_waits_until_a_slot_is_free(told, clock):
    dispatcher = make(told, concurrency=1)
    first = holding(dispatcher)
    second = Held(dispatcher, timeout=50.0)
    clock.wait_for_waiters(1)
    assert not second.began.is_set()
    assert (dispatcher.state().active, dispatcher.state().waiting) == (1, 1)
    first.let_go()
    assert second.began.wait(20)
    assert second.let_go() == "done"
    assert (dispatcher.state().active, dispatcher.state().waiting, dispatcher.state().dispatched) == (0, 0, 2)
    depths = [numbers for name, numbers, _ in told.all if name == "ai.dispatcher.queue_depth"]
    assert {"active": 1, "waiting": 1, "cap": 1} in depths
    assert depths[-1] == {"active": 0, "waiting": 0, "cap": 1}


def test_no_slot_in_time_is_a_rejection(told, clock):
    dispatcher = make(told, concurrency=1)
    first = holding(dispatcher)
    second = Held(dispatcher, timeout=5.0)
    clock.wait_for_waiters(1)
    clock.advance(5.0)
    error = second.join()
    assert (error.kind, error.retryable) == ("rejected", False)
    assert "Claude is not called" in str(error)
    assert first.let_go() == "done"
    assert [metadata["reason"] for name, _, metadata in told.all if name.endswith("rejected")] == ["max_concurrency"]


def test_a_queue_that_is_full_rejects_at_once(clock):
    dispatcher = make(concurrency=1, queue=0)
    first = holding(dispatcher)
    with pytest.raises(LLMError, match="too many calls wait"):
        run(dispatcher)
    first.let_go()
    assert dispatcher.state().rejected == 1


def test_waiting_ends_with_an_abort_and_leaves_the_place_in_the_queue(clock):
    dispatcher = make(concurrency=1)
    first = holding(dispatcher)
    second = Held(dispatcher, timeout=50.0)
    clock.wait_for_waiters(1)
    third = Held(dispatcher, timeout=50.0)
    clock.wait_for_waiters(2)
    second.abort.abort("enough")
    assert isinstance(second.join(), Aborted)
    first.let_go()
    assert third.began.wait(20)
    assert third.let_go() == "done"


def test_an_aborted_call_is_not_made(clock):
    abort = AbortSignal()
    abort.abort()
    with pytest.raises(Aborted):
        run(make(), abort=abort)


def test_a_call_that_crashes_frees_its_slot(clock):
    dispatcher = make(concurrency=1)
    fail(dispatcher, 2, KeyboardInterrupt())
    fail(dispatcher, 2, ValueError("no"))
    assert dispatcher.state().active == 0


# -- tokens --------------------------------------------------------------------------------------------------


def test_a_burst_passes_and_then_one_call_at_a_time(clock):
    dispatcher = make(calls=2, interval=10.0)
    run(dispatcher)
    run(dispatcher)
    third = Held(dispatcher)
    clock.wait_for_waiters(1)
    clock.advance(4.9)
    assert not third.began.is_set()
    clock.advance(0.1)
    assert third.began.wait(20)
    third.let_go()


def test_no_token_in_time_is_a_rejection_that_says_when(told, clock):
    dispatcher = make(told, calls=1, interval=10.0)
    run(dispatcher)
    with pytest.raises(LLMError, match=r"again in 10\.0 s") as caught:
        run(dispatcher, timeout=9.0)
    assert caught.value.retry_after == 10.0
    rejected = [(numbers, metadata) for name, numbers, metadata in told.all if name == "ai.dispatcher.rejected"]
    assert rejected == [
        ({"duration": 0.0, "retry_after": 10.0}, {"provider": "Claude", "reason": "rate_limited"}),
    ]


def test_a_bucket_gives_what_it_has_and_fills_again():
    bucket = TokenBucket(3, 1.0)
    assert [bucket.take(0.0) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(0.0) == pytest.approx(1 / 3)
    assert bucket.available(0.0) == 0
    assert bucket.available(0.7) == 2
    assert bucket.available(99.0) == 3


# -- the circuit ---------------------------------------------------------------------------------------------


def test_failures_in_a_row_open_the_circuit_which_rejects_at_once(told, clock):
    dispatcher = make(told, failure_threshold=3, recovery=30.0)
    fail(dispatcher, 2)
    run(dispatcher)
    fail(dispatcher, 3)
    with pytest.raises(LLMError, match=r"failed too often in a row; it may be called again in 30\.0 s") as caught:
        run(dispatcher)
    assert (caught.value.kind, caught.value.retry_after) == ("rejected", 30.0)
    assert dispatcher.state().circuit == "open"
    assert (
        "ai.circuit_breaker.opened",
        {"failure_count": 3, "failure_threshold": 3},
        {"provider": "Claude"},
    ) in told.all


@pytest.mark.parametrize(
    "error",
    [
        REFUSED,
        LLMError("slow down", kind="rate_limit", retryable=True),
        LLMError("too long", kind="invalid_request", retryable=False),
        LLMError("will not", kind="response", retryable=False),
        Aborted("enough"),
    ],
)
def test_what_does_not_mean_that_it_is_down_does_not_open_the_circuit(clock, error):
    dispatcher = make(failure_threshold=1)
    fail(dispatcher, 3, error)
    assert dispatcher.state().circuit == "closed"


def test_those_who_wait_when_the_circuit_opens_are_rejected_at_once(clock):
    dispatcher = make(concurrency=1, failure_threshold=1)
    failing, ready = threading.Event(), threading.Event()

    def call():
        ready.set()
        assert failing.wait(20)
        raise DOWN

    def ask():
        with pytest.raises(LLMError):
            dispatcher.run(call, abort=AbortSignal())

    thread = threading.Thread(target=ask)
    thread.start()
    assert ready.wait(20)
    waiting = Held(dispatcher, timeout=1000.0)
    clock.wait_for_waiters(1)
    failing.set()
    assert waiting.join().kind == "rejected"
    thread.join(20)


def test_half_open_one_probe_is_let_through_and_its_success_closes(told, clock):
    dispatcher = make(told, failure_threshold=1, recovery=30.0)
    fail(dispatcher)
    clock.advance(30.0)
    probe = holding(dispatcher)
    for _ in range(3):
        with pytest.raises(LLMError, match="not called"):
            run(dispatcher)
    assert dispatcher.state().circuit == "half_open"
    probe.let_go()
    assert run(dispatcher) == "ok"
    assert told.changes() == ["opened", "half_opened", "closed"]


def test_a_probe_that_fails_opens_it_again_for_as_long(told, clock):
    dispatcher = make(told, failure_threshold=1, recovery=30.0)
    fail(dispatcher)
    clock.advance(30.0)
    fail(dispatcher)
    clock.advance(29.0)
    with pytest.raises(LLMError, match="not called"):
        run(dispatcher)
    clock.advance(1.0)
    assert run(dispatcher) == "ok"
    assert told.changes() == ["opened", "half_opened", "reopened", "half_opened", "closed"]


def test_a_probe_that_is_refused_shows_that_somebody_answers(clock):
    dispatcher = make(failure_threshold=1)
    fail(dispatcher)
    clock.advance(30.0)
    fail(dispatcher, error=REFUSED)
    assert dispatcher.state().circuit == "closed"


def test_a_probe_that_was_aborted_makes_room_for_the_next(clock):
    dispatcher = make(failure_threshold=1)
    fail(dispatcher)
    clock.advance(30.0)
    fail(dispatcher, error=Aborted("enough"))
    assert dispatcher.state().circuit == "half_open"
    assert run(dispatcher) == "ok"
    assert dispatcher.state().circuit == "closed"


def test_calls_that_began_before_it_opened_decide_nothing(clock):
    dispatcher = make(failure_threshold=1)
    old = holding(dispatcher)
    fail(dispatcher)
    clock.advance(30.0)
    assert dispatcher.state().circuit == "half_open"
    old.let_go()
    assert dispatcher.state().circuit == "half_open"


# -- around a client -----------------------------------------------------------------------------------------


def test_what_a_call_waited_is_taken_from_its_timeout(clock):
    client = ScriptedClient(["one", "two"])
    dispatched = Dispatched(client, make(calls=1, interval=10.0))
    request = Request("", (Message.user("u"),), timeout=60.0)
    dispatched.complete(request, abort=AbortSignal())
    thread = threading.Thread(target=dispatched.complete, args=(request,), kwargs={"abort": AbortSignal()})
    thread.start()
    clock.wait_for_waiters(1)
    clock.advance(10.0)
    thread.join(20)
    assert [asked.timeout for asked in client.requests] == [60.0, 50.0]
    assert dispatched.model == "scripted"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_calls():
    dispatcher = make(concurrency=1, queue=0)
    held = holding(dispatcher)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if run(dispatcher) == "ok" else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    held.let_go()
