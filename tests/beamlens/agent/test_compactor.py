from __future__ import annotations

import pytest

from beamlens import Beamlens
from beamlens.agent.compaction import HEADING, INSTRUCTIONS, CompactionPolicy
from beamlens.errors import ConfigError, LLMError
from beamlens.llm.client import Completion, ToolCall, Usage
from beamlens.testing import ScriptedClient, tool
from tests.beamlens.agent.test_loop import run

SMALL = CompactionPolicy(max_tokens=1000, keep_last=2)
END = tool("end")


def add(number, tokens):
    """A call that grew the context to so many tokens."""
    call = ToolCall(f"c{number}", "add", {"value": number})
    return Completion("", (call,), Usage(input_tokens=tokens), "tool_use", "scripted")


def summaries(client):
    return [index for index, request in enumerate(client.requests) if request.system == INSTRUCTIONS]


def test_a_context_that_became_too_large_is_summarised_once_and_the_run_goes_on():
    client = ScriptedClient([add(1, 300), add(2, 600), add(3, 1200), "It added three numbers.", add(4, 500), END])
    outcome, events, _made = run(client, compaction=SMALL)
    assert outcome.stopped_by == "end"
    assert summaries(client) == [3]
    record = client.requests[3].messages[0].content[-1].text
    assert '<untrusted source="record">' in record
    assert "call of add" in record
    after = client.requests[4].messages
    assert after[0].content[0].text == f"{HEADING}\nIt added three numbers."
    assert [message.role for message in after] == ["user", "assistant", "user"]
    began, ended = [numbers for name, _, numbers, _ in events.all if name.startswith("compaction.")]
    assert (began["message_count"], ended["message_count"]) == (7, 3)
    assert ended["context_tokens"] < 100 < began["context_tokens"]
    assert outcome.usage.input_tokens > 2600  # the summary was paid for too
    assert len(outcome.messages) == 11  # what the run said stays whole


@pytest.mark.parametrize("failure", [" ", LLMError("not now", kind="invalid_request", retryable=False)])
def test_a_summary_that_cannot_be_had_is_told_and_the_conversation_stays_whole(failure):
    client = ScriptedClient([add(1, 300), add(2, 600), add(3, 1200), failure, add(4, 1210), END])
    outcome, events, _made = run(client, compaction=SMALL)
    assert len(events.of("compaction.exception")) == 1
    assert events.of("compaction.stop") == []
    if outcome.model == "offline":  # a model that fails for good hands over, which needs no conversation
        return
    assert outcome.stopped_by == "end"
    assert summaries(client) == [3]  # and not again at once, as it has hardly grown
    assert len(client.requests[4].messages) == 7


def test_a_small_context_is_left_alone():
    client = ScriptedClient([add(1, 300), add(2, 900), END])
    _outcome, events, _made = run(client, compaction=SMALL)
    assert summaries(client) == []
    assert events.of("compaction.start") == []


@pytest.mark.parametrize(
    ("options", "field"),
    [({"compaction_max_tokens": 5}, "compaction_max_tokens"), ({"compaction_keep_last": 0}, "compaction_keep_last")],
)
def test_a_bad_value_is_refused_at_start(options, field):
    with pytest.raises(ConfigError) as caught:
        Beamlens.start(watchers=["logger"], **options)
    assert caught.value.field == field
