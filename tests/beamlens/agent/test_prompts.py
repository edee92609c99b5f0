from __future__ import annotations

from beamlens.agent import PromptLog
from beamlens.llm.client import Message, Request, Text, ToolCall, ToolOutput, ToolSpec
from beamlens_actors.testing import FakeClock


def request(*texts, agent="a"):
    return Request("", tuple(Message.user(text) for text in texts), agent=agent)


def agents(log):
    return [entry["agent"] for entry in log.last(100)]


def test_a_request_is_shown_as_it_was_sent():
    log, call = PromptLog(), ToolCall("c", "look", {"number": 1})
    messages = (
        Message.user("Go."),
        Message("assistant", (Text("I look."), call)),
        Message("user", (ToolOutput("c", "seen", is_error=True),)),
    )
    with FakeClock(epoch=0.0):
        log.add(Request("Look.", messages, (ToolSpec("look", "", {}),), agent="a", trace_id="t"), "m")
    text = {"type": "text", "text": "Go."}
    asked = [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "c", "name": "look", "input": {"number": 1}},
    ]
    result = {"type": "tool_result", "tool_use_id": "c", "content": "seen", "is_error": True}
    assert log.last() == [
        {
            "sent_at": "1970-01-01T00:00:00+00:00",
            "agent": "a",
            "trace_id": "t",
            "model": "m",
            "system": "Look.",
            "messages": [
                {"role": "user", "content": [text]},
                {"role": "assistant", "content": asked},
                {"role": "user", "content": [result]},
            ],
            "tools": ["look"],
        }
    ]


def test_the_last_ones_are_kept_newest_last():
    log = PromptLog(capacity=3)
    for number in range(5):
        log.add(request("Go.", agent=str(number)), "m")
    assert (agents(log), [entry["agent"] for entry in log.last(2)], log.last(0)) == (["2", "3", "4"], ["3", "4"], [])


def test_characters_are_bounded_too_but_one_request_is_always_kept():
    log = PromptLog(most_characters=10_000)
    for name, size in (("a", 4_000), ("b", 4_000), ("c", 4_000), ("d", 50_000)):
        log.add(request("x" * size, agent=name), "m")
        assert agents(log) == {"a": ["a"], "b": ["a", "b"], "c": ["b", "c"], "d": ["d"]}[name]


def test_each_request_of_a_run_counts_whole_though_it_begins_as_the_one_before():
    one, other = (tuple(Message.user("x" * 1_000) for _ in range(5)) for _ in range(2))
    # Two runs in turns, and one that was shortened: 1 + 1 + 2 + 2 + 3 + 3 + 1 thousand characters, and some more.
    sent = [one[:1], other[:1], one[:2], other[:2], one[:3], other[:3], other[2:3]]
    for most, kept in ((15_000, 7), (13_000, 6), (4_500, 2), (1_100, 1)):
        log = PromptLog(most_characters=most)
        for messages in sent:
            log.add(Request("", messages), "m")
        assert len(log.last(100)) == kept
