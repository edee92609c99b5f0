"""`continuous=True`: look after look in one conversation, which is summarised; only the model says when to wait."""

from __future__ import annotations

import pytest

from beamlens.agent.compaction import HEADING, CompactionPolicy
from beamlens.application.specs import WatcherSpec, resolve
from beamlens.errors import ConfigError
from beamlens.testing import ScriptedClient, tool
from beamlens_actors.testing import FakeClock
from tests.beamlens.watcher.test_watcher import WAIT, ask, watching
from tests.support.agents import Queue


def texts(request):
    return [block.text for message in request.messages for block in message.content if hasattr(block, "text")]


def test_an_answer_in_words_ends_a_look_and_the_next_follows_after_a_second_in_the_same_conversation():
    client = ScriptedClient([tool("take_snapshot"), "All is well.", "Still well.", WAIT])
    with FakeClock() as clock, watching(client, continuous=True) as (registry, events, _published, _supervisor):
        for look in (1, 2):
            events.wait_for("watcher.wait", look)
            ask(registry)  # told before its timer stands, answered after
            clock.advance(1.0)
        events.wait_for("watcher.wait", 3)
        waits = [numbers["seconds"] for name, _, numbers, _ in events.all if name == "watcher.wait"]
        stopped = [metadata["stopped_by"] for metadata in events.of("watcher.run_stopped")]
    assert waits == [1.0, 1.0, 28_800.0]
    assert stopped == ["answered", "answered", "wait"]
    assert "All is well." in texts(client.requests[2])
    assert {"All is well.", "Still well."} <= set(texts(client.requests[3]))


def test_nothing_wakes_it_before_its_time():
    domain = Queue()
    client = ScriptedClient([tool("wait", ms=60_000), WAIT])
    with FakeClock() as clock, watching(client, domain, continuous=True) as (registry, events, _published, _supervisor):
        events.wait_for("watcher.wait")
        domain.depth = 600
        while not events.of("watcher.sensor_active"):
            domain.pass_second(clock)
        assert not ask(registry).running
        clock.advance(60.0)
        client.wait_for_calls(2)
        events.wait_for("watcher.wait", 2)
    assert events.of("watcher.woken") == []
    assert "depth_threshold (critical" in "".join(texts(client.requests[1]))


def test_what_it_watches_for_survives_the_wait_and_every_summary_word_for_word():
    note = "order 4711 is the oldest; watch whether it leaves"
    long = "words " * 100

    def answer(request):
        return "shorter" if not request.tools else long

    client = ScriptedClient([tool("wait", ms=1000, note=note), *[answer] * 12, WAIT])
    with (
        FakeClock() as clock,
        watching(client, continuous=True, compaction=CompactionPolicy(max_tokens=300, keep_last=1)) as parts,
    ):
        registry, events = parts[:2]
        while len(events.of("compaction.stop")) < 3:
            events.pass_time(clock)
        ask(registry)
    summarised = [request for request in client.requests if request.tools and HEADING in texts(request)[0]]
    assert len(summarised) >= 2
    for request in summarised:
        head = request.messages[0].content[0].text
        assert head.startswith(f"{HEADING}\nshorter\n")
        assert f'<untrusted source="note">\n{note}\n</untrusted>' in head


def test_a_conversation_that_a_model_fails_on_twice_is_begun_anew():
    from beamlens.errors import LLMError

    long = LLMError("prompt is too long", kind="invalid_request", retryable=False)
    client = ScriptedClient(["first", long, long, WAIT])
    with FakeClock() as clock, watching(client, continuous=True) as (registry, events, _published, _supervisor):
        while len(client.requests) < 4:
            events.pass_time(clock, 30.0)
        ask(registry)
    assert ["first" in texts(request) for request in client.requests] == [False, True, True, False]


def test_nonsense_without_end_is_no_look_that_went_on():
    client = ScriptedClient([tool("no_such_tool")] * 5 + [WAIT])
    with FakeClock() as clock, watching(client, continuous=True) as (registry, events, _published, _supervisor):
        while len(client.requests) < 6:
            events.pass_time(clock, 30.0)
        ask(registry)
    assert [metadata["stopped_by"] for metadata in events.of("watcher.taken_over")] == ["fruitless"]


def test_each_watcher_has_its_own_options():
    (one,) = resolve([{"name": "runtime", "continuous": True, "compaction_max_tokens": 3000}])
    assert (one.continuous, one.compaction(CompactionPolicy(keep_last=7))) == (True, CompactionPolicy(3000, 7))
    (other,) = resolve([WatcherSpec("runtime", compaction_keep_last=2)])
    assert (other.continuous, other.compaction(CompactionPolicy())) == (False, CompactionPolicy(50_000, 2))


@pytest.mark.parametrize(
    ("entry", "field", "said"),
    [
        ({"continuous": "yes"}, "watchers[0].continuous", "must be True or False, not 'yes'"),
        ({"compaction_max_tokens": 5}, "watchers[0].compaction_max_tokens", "a whole number of at least 100, not 5"),
        ({"compaction_keep_last": 0}, "watchers[0].compaction_keep_last", "a whole number of at least 1, not 0"),
        ({"cooldown": float("nan")}, "watchers[0].cooldown", "must be seconds, at least 0, not nan"),
        ({"cooldown": -1}, "watchers[0].cooldown", "must be seconds, at least 0, not -1"),
    ],
)
def test_a_wrong_option_is_named_with_its_choices(entry, field, said):
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")) as caught:
        resolve([{"name": "runtime", **entry}])
    assert caught.value.field == field
