from __future__ import annotations

from beamlens.agent.model import Outgoing
from beamlens.llm.client import Message, Request, Text, ToolOutput


def test_what_is_sent_is_redacted_once_however_often_it_is_sent():
    seen = []

    def redact(text):
        seen.append(text)
        return text.upper()

    outgoing = Outgoing(redact)
    first, second = Message.user("one"), Message("user", (ToolOutput("t1", "two", source="log"),))
    outgoing.request(Request("system", (first,)))
    sent = outgoing.request(Request("system", (first, second)))
    assert sorted(seen) == sorted(["one", "two", "", "system"])
    assert sent.system == "SYSTEM"
    assert sent.messages[0] == Message.user("ONE")
    assert sent.messages[1].content[0].content == '<untrusted source="log">\nTWO\n</untrusted>'


def test_an_equal_message_is_another_one_and_one_that_is_gone_is_forgotten():
    seen = []
    outgoing = Outgoing(lambda text: seen.append(text) or text)
    outgoing.request(Request("", (Message("user", (Text("same"),)), Message("user", (Text("same"),)))))
    assert seen.count("same") == 2
    again = Message.user("again")
    for messages in ((again,), (), (again,)):
        outgoing.request(Request("", messages))
    assert seen.count("again") == 2


def test_what_comes_before_a_message_may_change():
    outgoing = Outgoing(str.upper)
    first, other, last = Message.user("one"), Message.user("other"), Message.user("two")
    outgoing.request(Request("", (first, last)))
    for messages, expected in (((other, last), "OTHER TWO"), ((first, other, last), "ONE OTHER TWO"), ((last,), "TWO")):
        sent = outgoing.request(Request("", messages)).messages
        assert " ".join(message.content[0].text for message in sent) == expected
