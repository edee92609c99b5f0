"""A dispatcher under every order of starts, ends, aborts and times: no slot too many, one probe, nothing lost."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from beamlens.errors import LLMError
from beamlens.llm.dispatcher import Dispatcher
from beamlens.llm.turns import DispatchLimits
from beamlens_actors import Aborted, AbortSignal
from beamlens_actors.testing import FakeClock

LIMITS = DispatchLimits(concurrency=2, calls=4, interval=4.0, queue=3, failure_threshold=1, recovery=4.0)
ENDS = {
    "ok": None,
    "down": LLMError("down", kind="server", retryable=True),
    "refused": LLMError("refused", kind="authentication", retryable=False),
    "aborted": Aborted("enough"),
    "bug": ValueError("bug"),
}


@dataclass
class Call:
    number: int
    timeout: float | None
    abort: AbortSignal = field(default_factory=AbortSignal)
    go: threading.Event = field(default_factory=threading.Event)
    end: str = "ok"
    may_be_called: bool = True
    probe: bool = False
    inside: bool = False
    began: bool = False
    outcomes: list = field(default_factory=list)


class Dispatching(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.clock = FakeClock()
        self.clock.__enter__()
        self.changed = threading.Condition(threading.RLock())
        self.dispatcher = Dispatcher("p", LIMITS, report=lambda *_event: self.notify())
        self.calls, self.threads, self.begun = [], [], []

    def notify(self):
        with self.changed:
            self.changed.notify_all()

    # -- what happens ----------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.calls) < 16)
    @rule(timeout=st.sampled_from([None, 0.75, 3.25, 100.25]))
    def start(self, timeout):
        call = Call(len(self.calls), timeout)
        state = self.dispatcher.state()
        probed = state.waiting or any(other.probe for other in self.inside())
        call.may_be_called = state.circuit == "closed" or (state.circuit == "half_open" and not probed)
        self.calls.append(call)
        thread = threading.Thread(target=self.ask, args=(call, timeout))
        self.threads.append(thread)
        thread.start()
        self.wait(self.settled)
        sent_away = call.outcomes and "too often" in str(call.outcomes[0])
        assert bool(sent_away) is not call.may_be_called

    def ask(self, call, timeout):
        try:
            outcome = self.dispatcher.run(lambda: self.body(call), abort=call.abort, timeout=timeout)
        except BaseException as error:
            outcome = error
        with self.changed:
            call.outcomes.append(outcome)
            self.changed.notify_all()

    def body(self, call):
        with self.changed:
            call.probe = self.dispatcher.state().circuit == "half_open"
            call.began = call.inside = True
            self.begun.append((self.clock.monotonic(), call.number))
            self.changed.notify_all()
        assert call.go.wait(30)
        with self.changed:
            call.inside = False
        if (error := ENDS[call.end]) is not None:
            raise type(error)(*error.args) if not isinstance(error, LLMError) else error
        return call.number

    @precondition(lambda self: self.inside())
    @rule(data=st.data(), end=st.sampled_from(sorted(ENDS)))
    def finish(self, data, end):
        call = data.draw(st.sampled_from(self.inside()))
        call.end = end
        call.go.set()
        self.wait(lambda: call.outcomes)

    @precondition(lambda self: self.open_calls())
    @rule(data=st.data())
    def abort(self, data):
        data.draw(st.sampled_from(self.open_calls())).abort.abort("enough")

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 10.0]))
    def time_passes(self, seconds):
        # Step by step, and no deadline at the time of anything else: what happens at once has no order.
        for _ in range(int(seconds / 0.25)):
            self.clock.advance(0.25)
            self.wait(self.settled)

    # -- what holds ------------------------------------------------------------------------------------------

    def inside(self):
        return [call for call in self.calls if call.inside]

    def open_calls(self):
        return [call for call in self.calls if not call.outcomes]

    def wait(self, predicate):
        with self.changed:
            for _ in range(4000):  # nobody says that a thread has fallen asleep: look again now and then
                if self.changed.wait_for(predicate, 0.005):
                    return
        raise AssertionError(f"{self.dispatcher.state()} {self.calls}")

    def settled(self):
        """Whether nobody is on the way: who waits, waits for something that is not there."""
        state = self.dispatcher.state()
        inside = len(self.inside())
        if inside != state.active or inside + state.waiting != len(self.open_calls()):
            return False
        waiting = [call for call in self.open_calls() if not call.began]
        if any(call.abort.aborted for call in waiting):
            return False
        if not waiting:
            return True
        free = state.active < LIMITS.concurrency
        room = free and state.tokens > 0
        # The clock must not move while somebody is about to wait until a time that it has read already.
        asleep = sum(call.timeout is not None or (free and call is waiting[0]) for call in waiting)
        lost = state.circuit == "open" or (state.circuit == "half_open" and len(waiting) > 1)
        return not room and not lost and self.clock.waiters() == asleep

    @invariant()
    def nothing_that_could_go_on_stands_still(self):
        self.wait(self.settled)

    @invariant()
    def slots_are_never_exceeded(self):
        assert len(self.inside()) <= LIMITS.concurrency
        assert self.dispatcher.state().waiting <= LIMITS.queue

    @invariant()
    def there_is_at_most_one_probe(self):
        assert sum(call.probe for call in self.inside()) <= 1

    @invariant()
    def the_rate_is_kept_and_so_is_the_order(self):
        times = [when for when, _ in self.begun]
        for index, when in enumerate(times):
            assert sum(when <= other < when + LIMITS.interval for other in times[index:]) <= 2 * LIMITS.calls
        assert [number for _, number in self.begun] == sorted(number for _, number in self.begun)

    @invariant()
    def each_call_has_one_outcome_and_the_right_one(self):
        for call in self.calls:
            assert len(call.outcomes) <= 1
            for outcome in call.outcomes:
                if call.began:
                    expected = ENDS[call.end]
                    assert outcome == call.number if expected is None else type(outcome) is type(expected)
                elif isinstance(outcome, LLMError):
                    assert outcome.kind == "rejected"
                else:
                    assert isinstance(outcome, Aborted)

    def teardown(self):
        try:
            for call in self.calls:
                call.abort.abort()
                call.go.set()
            for thread in self.threads:
                thread.join(20)
                assert not thread.is_alive()
            state = self.dispatcher.state()
            assert (state.active, state.waiting) == (0, 0)
            assert state.dispatched == len(self.begun)
            assert all(len(call.outcomes) == 1 for call in self.calls)
        finally:
            self.clock.__exit__(None, None, None)


Dispatching.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestDispatching = Dispatching.TestCase
