"""Partial events on their way to a queue: joined, in order, and each accounted for."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from beamlens.agent import Agent, Batch, MessageEnd, MessageStart, MessageUpdate, Tool, ToolExecutionUpdate, TurnStart
from beamlens.agent.gathering import Gathering
from beamlens.agent.into import Into
from beamlens.agent.speech import Speech
from beamlens.agent.subscribers import Subscribers, Wish
from beamlens.errors import ConfigError
from beamlens.llm.client import Message, Text
from beamlens.llm.deltas import Delta
from beamlens.testing import ScriptedClient, streamed, tool
from beamlens_actors import EventStream
from beamlens_actors.testing import FakeClock, Probe
from tests.support.loops import Nothing

SECONDS = 10.0


@pytest.fixture
def clock():
    with FakeClock() as fake:
        yield fake


def saying(speech, text, kind="text", index=0):
    delta = Delta(kind, text, index)
    return MessageUpdate("r", "t", delta, speech.add(delta))


def words(events):
    return [event.delta.text if isinstance(event, MessageUpdate) else event.type for event in events]


def gathered(batch=None, crowded=lambda: False):
    delivered = []
    return Gathering(delivered.append, crowded, batch), delivered


def test_pieces_are_joined_until_there_are_enough(clock):
    gathering, delivered = gathered(Batch(events=3, seconds=1.0))
    speech = Speech()
    for text in "abcdefg":
        gathering.offer(saying(speech, text))
    assert words(delivered) == ["abc", "def"]
    assert [event.partial for event in delivered] == [Message("assistant", (Text(t),)) for t in ("abc", "abcdef")]
    assert (gathering.held, gathering.merged) == (1, 4)
    gathering.close()


def test_pieces_wait_no_longer_than_they_may(clock):
    gathering, delivered = gathered(Batch(events=100, seconds=0.5))
    speech = Speech()
    gathering.offer(saying(speech, "a"))
    clock.advance(0.4)
    gathering.offer(saying(speech, "b"))
    assert delivered == []
    clock.advance(0.1)
    assert words(delivered) == ["ab"]
    assert clock.waiters() == 0


def test_any_other_event_comes_after_what_is_held_back(clock):
    gathering, delivered = gathered(Batch())
    gathering.offer(saying(Speech(), "a"))
    gathering.offer(TurnStart("r", "t", 1))
    assert words(delivered) == ["a", "turn_start"]
    gathering.close()


def test_only_what_belongs_together_is_joined(clock):
    gathering, delivered = gathered(Batch())
    one, other = Speech(), Speech()
    partial = ToolExecutionUpdate("r", "t", "c", "look", "half")
    for event in (
        saying(one, "a"), saying(one, "b", "thinking"), saying(one, "c", "tool_call"), saying(one, "d", "tool_call"),
        saying(one, "e", "tool_call", 1), saying(other, "f", "tool_call", 1), partial, partial,
    ):  # fmt: skip
        gathering.offer(event)
    gathering.flush()
    assert words(delivered) == ["a", "b", "cd", "e", "f", "tool_execution_update", "tool_execution_update"]
    gathering.close()


def test_closed_it_takes_nothing_and_leaves_no_timer(clock):
    gathering, delivered = gathered(Batch())
    gathering.offer(saying(Speech(), "a"))
    gathering.close()
    gathering.offer(TurnStart("r", "t", 1))
    gathering.flush()
    assert delivered == []
    assert clock.waiters() == 0


def test_a_stream_keeps_half_of_its_room_for_other_events_and_loses_no_words_that_fit():
    stream = EventStream(capacity=4)
    tell, speech = Into(stream), Speech()
    for text in "abcdef":
        tell(saying(speech, text))
    assert stream.stats().size == 2
    assert [next(stream).text, next(stream).text] == ["a", "b"]
    tell(MessageEnd("r", "t", Message.user("u")))
    stream.complete()
    assert words(list(stream)[:-1]) == ["cdef", "message_end"]
    assert tell.stats().dropped == 0


def test_what_finds_no_room_when_another_event_comes_is_counted():
    stream = EventStream(capacity=4)
    tell, speech = Into(stream), Speech()
    for text in "abcdef":
        tell(saying(speech, text))
    tell(MessageEnd("r", "t", Message.user("u")))
    stream.complete()
    assert words(list(stream)[:-1]) == ["a", "b", "message_end"]
    assert tell.stats().dropped == 1


def test_what_cannot_be_joined_is_not_held_without_bound():
    gathering, _delivered = gathered(crowded=lambda: True)
    for _ in range(1000):
        gathering.offer(ToolExecutionUpdate("r", "t", "c", "look", "half"))
    assert gathering.held < 64
    assert gathering.held + gathering.dropped == 1000


@pytest.mark.parametrize(
    "wrong",
    [{"events": 0}, {"events": 1.5}, {"events": True}, {"seconds": 0}, {"seconds": float("nan")}, {"seconds": "1"}],
)
def test_a_batch_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match=rf"^{next(iter(wrong))} must be"):
        Batch(**wrong)


@pytest.mark.parametrize("wrong", [{"batch": 5}, {"batch": True}, {"updates": 1}])
def test_a_wish_that_cannot_be_is_refused_by_name(core, wrong):
    agent = Agent.start("s", client=ScriptedClient([]), core=core)
    with pytest.raises(ConfigError, match=f"^{next(iter(wrong))} must be") as caught:
        agent.subscribe(**wrong)
    assert caught.value.field == next(iter(wrong))


class Batching(RuleBasedStateMachine):
    """Whatever is offered to subscribers, and however time passes, nothing is lost, reordered or counted wrong."""

    @initialize(
        wishes=st.lists(
            st.builds(Wish, batch=st.none() | st.builds(Batch, st.integers(1, 5), st.sampled_from([0.1, 1.0]))),
            min_size=1,
            max_size=4,
        )
    )
    def start(self, wishes):
        self.clock = FakeClock()
        self.clock.__enter__()
        self.subscribers = Subscribers("s")
        self.all = [self.subscribers.add(None, wish) for wish in wishes]
        self.heard = [[] for _ in self.all]
        self.batches = [wish.batch for wish in wishes]
        self.sent = []
        self.speech = Speech()
        self.oldest = None

    @rule(text=st.text(max_size=3), kind=st.sampled_from(["text", "thinking", "tool_call"]), index=st.integers(0, 1))
    def say(self, text, kind, index):
        self._send(saying(self.speech, text, kind, index))

    @rule()
    def begin(self):
        self.speech = Speech()
        self._send(MessageStart("r", "t", "assistant"))

    @rule()
    def show(self):
        self._send(ToolExecutionUpdate("r", "t", "c", "look", len(self.sent)))

    @rule(seconds=st.sampled_from([0.05, 0.1, 2.0]))
    def let_time_pass(self, seconds):
        self.clock.advance(seconds)
        if seconds == 2.0:
            assert all(each._gathering.held == 0 for each in self.all)

    def _send(self, event):
        self.sent.append(event)
        self.subscribers.offer(event)

    def _read(self):
        for one, heard in zip(self.all, self.heard, strict=True):
            heard.extend(next(one.stream).event for _ in range(one.stream.stats().size))

    @invariant()
    def each_is_delivered_joined_or_held(self):
        if not hasattr(self, "all"):
            return
        self._read()
        for one, heard, batch in zip(self.all, self.heard, self.batches, strict=True):
            held = one._gathering.held
            assert len(heard) + one.merged + held == len(self.sent)
            assert held < (1 if batch is None else batch.events)
            assert flat(heard) == flat(self.sent[: len(self.sent) - held])
            assert one.dropped == 0

    def teardown(self):
        if hasattr(self, "all"):
            self.subscribers.end()
            for one, heard in zip(self.all, self.heard, strict=True):
                heard.extend(said.event for said in list(one.stream)[:-1])
                assert flat(heard) == flat(self.sent)
            assert self.clock.waiters() == 0
            self.clock.__exit__(None, None, None)


def flat(events):
    """What was said, piece by character, and every other event, in order."""
    found = []
    for event in events:
        if isinstance(event, MessageUpdate):
            found.extend(
                (event.delta.kind, event.delta.index, id(event.so_far.speech), char) for char in event.delta.text
            )
        else:
            found.append(event)
    return found


TestBatching = Batching.TestCase


@given(st.lists(st.sampled_from(["say", "show", "turn", "read"]), max_size=60), st.integers(1, 8), st.booleans())
def test_every_event_for_a_full_stream_is_delivered_joined_dropped_or_held(steps, capacity, batched):
    with FakeClock():
        subscribers = Subscribers("s")
        one = subscribers.add(None, Wish(capacity, "drop_newest", Batch(3, 1.0) if batched else None))
        speech, sent, read = Speech(), 0, 0
        for step in steps:
            if step == "read":
                if one.stream.stats().size:
                    next(one.stream)
                    read += 1
                continue
            sent += 1
            subscribers.offer(
                {
                    "say": lambda: saying(speech, "x"),
                    "show": lambda: ToolExecutionUpdate("r", "t", "c", "look", 1),
                    "turn": lambda: TurnStart("r", "t", 1),
                }[step]()
            )
            assert sent == read + one.stats().size + one.merged + one.dropped + one._gathering.held
        one.cancel()


def test_an_actor_gets_joined_pieces_too(core):
    client = ScriptedClient([streamed("It ", "is ", "fine.")])
    agent = Agent.start("s", client=client, core=core)
    probe = Probe.start()
    subscription = agent.subscribe(probe, batch=Batch(events=100, seconds=60.0))
    agent.prompt("Well?")
    while probe.expect(timeout=SECONDS).event.type != "agent_end":
        pass
    updates = [each.event.text for each in probe.received() if isinstance(each.event, MessageUpdate)]
    assert (updates, subscription.merged, subscription.dropped) == (["It is fine."], 2, 0)
    probe.stop()


class Slow(Probe):
    """Handles its first message when it may; has told when it has handled seven."""

    def __init__(self, go, handled):
        super().__init__()
        self._go = go
        self._handled = handled
        self._count = 0

    def on_receive(self, message):
        self._go.wait(SECONDS)
        super().on_receive(message)
        self._count += 1
        if self._count == 7:
            self._handled.set()


@pytest.fixture
def slow(core):
    """Six of its twelve places are taken when the model has said two pieces."""
    go, handled = threading.Event(), threading.Event()
    probe = Slow.start(go, handled)
    catches_up = []
    client = ScriptedClient(
        [streamed(*"abcdefgh", lambda _request: [(go.set(), handled.wait(SECONDS)) for _ in catches_up])]
    )
    agent = Agent.start("s", client=client, core=core)
    subscription = agent.subscribe(probe, capacity=12)

    def hear(catch_up):
        catches_up.extend([None] * catch_up)
        agent.prompt("Well?")
        agent.wait_for_idle(SECONDS)
        go.set()
        while probe.expect(timeout=SECONDS).event.type != "agent_end":
            pass
        said = [each.event.text for each in probe.received() if isinstance(each.event, MessageUpdate)]
        return said, subscription.merged, subscription.dropped

    yield hear
    probe.stop()


def test_a_slow_actor_that_catches_up_gets_what_was_said_meanwhile_as_one(slow):
    assert slow(catch_up=True) == (["a", "b", "cdefgh"], 5, 0)


def test_a_slow_actor_that_does_not_gets_the_whole_message_instead(slow):
    assert slow(catch_up=False) == (["a", "b"], 5, 1)


def test_the_depth_of_the_fullest_queue_is_told_each_turn(core):
    agent = Agent.start("s", client=ScriptedClient(["Yes."]), core=core)
    agent.subscribe(capacity=1000)
    agent.subscribe(capacity=3)
    agent.prompt("Well?")
    agent.wait_for_idle(SECONDS)
    core.events.wait_for("agent_core.event_stream.queue_depth")
    ((_, _, numbers, _),) = [each for each in core.events.all if each[0] == "agent_core.event_stream.queue_depth"]
    assert (numbers["depth"], numbers["max_queue"]) == (3, 3)
    assert numbers["dropped"] > 0


def test_without_subscribers_there_is_no_depth_to_tell(core):
    agent = Agent.start("s", client=ScriptedClient(["Yes."]), core=core)
    agent.prompt("Well?")
    agent.wait_for_idle(SECONDS)
    core.events.wait_for("agent.run_stopped")
    assert core.events.of("agent_core.event_stream.queue_depth") == []


def test_partial_results_of_tools_are_batched_and_all_there(core):
    count = 10
    count_up = Tool("count", lambda _a, on_update: [on_update(n) for n in range(count)] and "counted", Nothing)
    agent = Agent.start("s", [count_up], ScriptedClient([tool("count"), "Done."]), core=core)
    stream = agent.subscribe(batch=Batch(events=4, seconds=60.0)).stream
    agent.prompt("Well?")
    agent.wait_for_idle(SECONDS)
    agent.stop()
    heard = [said.event for said in list(stream)[:-1]]
    assert [event.partial for event in heard if isinstance(event, ToolExecutionUpdate)] == list(range(count))
