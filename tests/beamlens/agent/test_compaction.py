from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.agent.compaction import (
    HEADING,
    IDS_HEADING,
    CompactionPolicy,
    compact,
    context_tokens,
    estimated_tokens,
    split,
    transcript,
)
from beamlens.errors import ConfigError
from beamlens.llm.client import Completion, Message, Text, ToolCall, ToolOutput, Usage

SNAPSHOT = "0123456789abcdef"
ALERT = "fedcba9876543210"


def call(number, name="take_snapshot"):
    return Message("assistant", (Text("I look."), ToolCall(f"t{number}", name, {"number": number})))


def result(number, content="fine", *, is_error=False):
    return Message("user", (ToolOutput(f"t{number}", content, is_error),))


def turns(count):
    messages = [Message.user("Look.")]
    for number in range(count):
        messages += [call(number), result(number)]
    return messages


def test_the_older_part_becomes_a_summary_and_the_end_stays_word_for_word():
    messages = turns(5)
    seen = []

    def summarise(record):
        seen.append(record)
        return "all was fine\n"

    compacted = compact(messages, CompactionPolicy(keep_last=4), summarise)
    assert compacted.messages == (Message.user(f"{HEADING}\nall was fine"), *messages[-4:])
    assert compacted.replaced == 7
    assert seen == [transcript(messages[:7])]


@given(st.integers(0, 12), st.integers(1, 30))
def test_a_call_and_its_result_stay_or_go_together_and_roles_alternate(count, keep_last):
    messages = turns(count)
    compacted = compact(messages, CompactionPolicy(keep_last=keep_last), lambda record: "summary")
    if compacted is None:
        assert split(messages, keep_last) == 0
        return
    kept = compacted.messages
    called = {block.id for message in kept for block in message.content if isinstance(block, ToolCall)}
    answered = {block.call_id for message in kept for block in message.content if isinstance(block, ToolOutput)}
    assert called == answered
    assert all(one.role != other.role for one, other in itertools.pairwise(kept))
    assert kept[0].role == "user"
    assert len(kept) < len(messages)
    assert len(kept) >= min(keep_last, len(messages))


def test_nothing_to_summarise_leaves_it_alone():
    assert compact(turns(2), CompactionPolicy(keep_last=5), lambda record: pytest.fail("asked")) is None
    assert compact([], CompactionPolicy(), lambda record: pytest.fail("asked")) is None


def test_an_id_that_the_summary_lost_is_put_back_once():
    messages = [Message.user("Look."), call(1), result(1, f"snapshot {SNAPSHOT}, {SNAPSHOT}; fired {ALERT}"), *turns(3)]
    compacted = compact(messages, CompactionPolicy(keep_last=2), lambda record: f"fired {ALERT} for a leak")
    text = compacted.messages[0].content[0].text
    assert text == f"{HEADING}\nfired {ALERT} for a leak\n{IDS_HEADING} {SNAPSHOT}"


def test_what_only_looks_like_an_id_is_none():
    record = "deadbeefdeadbeef 123456789 0123456789abcdef0 x0123456789abcdef"
    compacted = compact([Message.user(record), *turns(3)], CompactionPolicy(keep_last=1), lambda _record: "short")
    assert IDS_HEADING not in compacted.messages[0].content[0].text


def test_the_users_message_that_stays_takes_the_summary_in():
    messages = [*turns(2), Message.user("And now?")]
    compacted = compact(messages, CompactionPolicy(keep_last=1), lambda record: "short")
    assert compacted.messages == (Message("user", (Text(f"{HEADING}\nshort"), Text("And now?"))),)


def test_what_is_pinned_stays_word_for_word_and_fenced_however_often_it_is_summarised():
    pinned = (Text("Note:"), Text("watch 4711", source="note"))
    messages = [Message("user", pinned), *turns(3)]
    for _ in range(3):
        compacted = compact(messages, CompactionPolicy(keep_last=1), lambda _record: "short", pinned)
        assert compacted.messages[0].content[:3] == (Text(f"{HEADING}\nshort"), *pinned)
        messages = [*compacted.messages, *turns(2)]


@pytest.mark.parametrize("error", [RuntimeError("no answer")])
def test_a_summary_that_fails_is_the_callers_affair_and_changes_nothing(error):
    messages = turns(5)
    before = list(messages)

    def fails(record):
        raise error

    with pytest.raises(RuntimeError, match="no answer"):
        compact(messages, CompactionPolicy(), fails)
    assert messages == before


def test_an_empty_summary_is_a_failure():
    with pytest.raises(ValueError, match="empty"):
        compact(turns(5), CompactionPolicy(), lambda record: " \n")


def test_a_transcript_says_who_said_what():
    messages = [Message.user("Look."), call(1), result(1, "no such id", is_error=True)]
    assert transcript(messages) == (
        'user: Look.\nassistant: I look.\ncall of take_snapshot: {"number": 1}\nerror of take_snapshot: no such id'
    )


def test_the_size_is_that_of_the_last_call_and_what_came_since_not_a_sum_over_calls():
    completion = Completion(usage=Usage(input_tokens=100, output_tokens=20, cache_read_tokens=900))
    assert context_tokens(completion, [result(1, "x" * 400)]) == 1020 + 100
    assert estimated_tokens([]) == 0


@pytest.mark.parametrize(
    ("options", "field"),
    [({"max_tokens": 99}, "compaction_max_tokens"), ({"keep_last": 0}, "compaction_keep_last")],
)
def test_a_policy_that_cannot_be_is_refused(options, field):
    with pytest.raises(ConfigError, match="whole number") as caught:
        CompactionPolicy(**options)
    assert caught.value.field == field
