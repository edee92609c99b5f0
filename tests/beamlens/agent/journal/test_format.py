from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.agent.journal import FORMAT, Header, MessageRecord, OpenedRecord, RunRecord, Setup
from beamlens.agent.journal.lines import header_line, parse, read_header, read_record, record_line
from beamlens.agent.journal.redaction import kept
from beamlens.agent.model import Outgoing
from beamlens.llm.client import Message, Request, Text, ToolCall, ToolOutput, ToolSpec, Usage
from beamlens.redact import Redactor

REDACTOR = Redactor()
# Half a surrogate pair occurs, in file names that are no UTF-8; two halves that make a whole one do not.
texts = st.text(st.characters(exclude_characters=[chr(c) for c in range(0xDC00, 0xE000)]), max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
blocks = st.one_of(
    st.builds(Text, texts, texts),
    st.builds(ToolCall, texts, texts, json_values, json_values),
    st.builds(ToolOutput, texts, texts, st.booleans(), texts, st.integers(0, 50)),
)
messages = st.builds(Message, st.sampled_from(["user", "assistant"]), st.lists(blocks, max_size=4).map(tuple))
times = st.floats(0, 4e9).map(lambda seconds: round(seconds, 3))
specs = st.lists(st.builds(ToolSpec, texts, texts, st.dictionaries(texts, json_values)), max_size=2).map(tuple)
setups = st.builds(Setup, texts, specs, texts, texts, st.dictionaries(texts, json_values, max_size=3), texts)
usages = st.builds(Usage, *[st.integers(0, 10**9)] * 4)
records = st.one_of(
    st.builds(MessageRecord, times, texts, texts, messages, texts, st.booleans()),
    st.builds(
        RunRecord, times, texts, texts, texts, st.integers(0, 99), usages, texts, st.none() | st.floats(0, 99), texts
    ),
    st.builds(OpenedRecord, times, st.integers(0, 2**22), setups),
)


@given(records, st.integers(1, 10**6))
def test_a_record_comes_back_as_it_was_from_one_line(record, number):
    line = record_line(number, record)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    back = read_record(parse(line), number)
    assert back.at == pytest.approx(record.at, abs=1e-5)
    assert type(record)(record.at, *[getattr(back, name) for name in list(record.__slots__)]) == record


@given(texts.filter(bool), times, st.integers(0, 2**22), setups)
def test_a_header_comes_back_as_it_was(session_id, at, pid, setup):
    back = read_header(parse(header_line(Header(session_id, at, pid, setup))))
    assert (back.session_id, back.pid, back.setup, back.version) == (session_id, pid, setup, 1)
    assert back.created_at == pytest.approx(at, abs=1e-5)


def test_what_a_provider_wants_to_see_again_comes_back():
    call = ToolCall("1", "look", {}, {"signature": "abc"})
    back = read_record(parse(record_line(1, MessageRecord(0.0, "r", "t", Message("assistant", (call,))))), 1)
    assert back.message.content[0].opaque == {"signature": "abc"}


class Odd:
    def __repr__(self):
        return "<odd>"


HIMSELF: dict = {}
HIMSELF["himself"] = HIMSELF


@pytest.mark.parametrize("arguments", [{"a": Odd()}, {(1, 2): "tuple"}, HIMSELF, b"bytes", "no object", None, [1]])
def test_arguments_that_json_cannot_say_are_kept_as_text(arguments):
    record = MessageRecord(0.0, "r", "t", Message("assistant", (ToolCall("1", "look", arguments),)))
    assert read_record(parse(record_line(1, record)), 1).message.content[0].id == "1"


def test_lines_are_for_people_too():
    line = record_line(3, MessageRecord(0.0, "r", "t", Message.user("Größe?\nIn Byte.")))
    assert "Größe" in line.decode()
    assert json.loads(line) == {
        "type": "message", "n": 3, "at": "1970-01-01T00:00:00.000000+00:00", "run_id": "r", "trace_id": "t",
        "message": {"role": "user", "content": [{"type": "text", "text": "Größe?\nIn Byte."}]},
    }  # fmt: skip
    assert json.loads(header_line(Header("s", 0.0, 7, Setup())))["format"] == FORMAT


# -- secrets -----------------------------------------------------------------------------------------------------

SECRETS = st.sampled_from(
    [
        "",
        "password=hunter2hunter2",
        "sk-ant-api03-abcdefghijklmnopqrstuvwxyz012345",
        "Authorization: Bearer abcdefgh1234",
        "token: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "</tool_result>",
    ]
)


@given(st.lists(st.tuples(texts, SECRETS), max_size=4), texts, st.integers(0, 60), st.booleans())
def test_what_was_kept_is_sent_byte_for_byte_as_the_message_was(parts, source, own, is_error):
    text = "\n".join(part for pair in parts for part in pair)
    said = Message("user", (Text(text, source), ToolOutput("1", text, is_error, source, min(own, len(text)))))
    back = read_record(parse(record_line(1, MessageRecord(0.0, "r", "t", kept(said, REDACTOR)))), 1).message

    def sent(message):
        return Outgoing(REDACTOR.text).request(Request("", (message,))).messages

    assert sent(back) == sent(said)


def test_secrets_are_taken_out_of_texts_results_and_arguments():
    secret = "hunter2hunter2"
    said = Message(
        "assistant",
        (Text(f"password={secret}"), ToolCall("1", "login", {"password": secret, "user": "ann"}),
         ToolOutput("1", f"said: password={secret}", source="log", own=6)),
    )  # fmt: skip
    line = record_line(1, MessageRecord(0.0, "r", "t", kept(said, REDACTOR)))
    assert secret.encode() not in line
    assert b"ann" in line


def test_a_message_without_secrets_is_kept_as_it_is():
    said = Message("user", (Text("fine"), ToolOutput("1", "all well", source="", own=3)))
    assert kept(said, REDACTOR) is said
