from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.agent.transcript import InvalidTranscript, Transcript
from beamlens.llm.client import Completion, Message, Text, ToolCall, ToolOutput

IDS = st.sampled_from(["a", "b", "c", ""])
MESSAGES = st.lists(
    st.one_of(
        st.builds(lambda ids: Message("assistant", tuple(ToolCall(each, "t", {}) for each in ids)), st.lists(IDS)),
        st.builds(lambda ids: Message("user", tuple(ToolOutput(each, "") for each in ids)), st.lists(IDS)),
        st.just(Message.user("Go.")),
    ),
    max_size=12,
)


def wrong(transcript):
    try:
        transcript.check()
    except InvalidTranscript as error:
        return error.violations
    return ()


def call(*ids):
    return Message("assistant", tuple(ToolCall(each, "t", {}) for each in ids))


def result(*ids):
    return Message("user", tuple(ToolOutput(each, "") for each in ids))


@given(MESSAGES, st.data())
def test_checking_as_it_grows_finds_what_checking_at_once_does(messages, data):
    growing = Transcript()
    for index, message in enumerate(messages):
        growing.add(message)
        if data.draw(st.booleans()):
            assert wrong(growing) == wrong(Transcript(messages[: index + 1]))
    assert wrong(growing) == wrong(Transcript(messages))
    assert wrong(growing) == wrong(growing)


@pytest.mark.parametrize(
    ("messages", "violations"),
    [
        ([call("a"), result("a"), call("b"), result("b")], []),
        ([call("a")], ["the call 'a' has no result"]),
        ([call("a"), Message.user("Go on.")], ["the call 'a' has no result"]),
        ([result("a")], ["the result 'a' answers no call of the message before"]),
        ([call("a"), result("a", "a")], ["the call 'a' has two results"]),
        ([call("a", "a"), result("a")], ["the call id 'a' is used twice"]),
        ([call("a"), result("a"), call("a"), result("a")], ["the call id 'a' is used twice"]),
        ([call(""), result("")], ["a call has no id"]),
    ],
)
def test_what_does_not_match_is_named(messages, violations):
    assert wrong(Transcript(messages)) == tuple(violations)


def test_a_result_that_comes_after_a_check_completes_the_last_message():
    transcript = Transcript([call("a", "b"), result("a")])
    assert wrong(transcript) == ("the call 'b' has no result",)
    transcript.add(result("b"))
    assert wrong(transcript) == ()


def test_ids_of_what_was_replaced_by_a_summary_count_no_more():
    transcript = Transcript([Message.user("Go."), call("a"), result("a"), call("b")])
    transcript.add(result("b"))
    assert wrong(transcript) == ()
    transcript.shorten([Message.user("A summary."), call("a"), result("a")])
    assert wrong(transcript) == ()


def test_an_answer_whose_calls_have_ids_of_their_own_stays_as_it_is():
    completion = Completion(tool_calls=(ToolCall("a", "t", {}), ToolCall("b", "t", {})))
    transcript = Transcript([Message("assistant", (Text("Hm."),))])
    assert transcript.normalized(completion) is completion
    again = transcript.normalized(completion)
    assert len({call.id for call in (*completion.tool_calls, *again.tool_calls)}) == 4
