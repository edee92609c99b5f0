"""What stands between a client and whoever listens to its answers hands the pieces on."""

from __future__ import annotations

import pytest

from beamlens.errors import LLMError
from beamlens.llm.client import Completion, Message, Request, ToolCall
from beamlens.llm.composites import Fallback, RoundRobin
from beamlens.llm.deltas import Delta, complete, takes_deltas
from beamlens.llm.dispatcher import Dispatched, Dispatcher
from beamlens.llm.offline import OfflineAnalyst
from beamlens.testing import ScriptedClient, streamed, tool
from beamlens_actors import Aborted, AbortSignal

ASKED = Request("", (Message.user("u"),), timeout=60.0)
CUT = LLMError("cut", kind="connection", retryable=True)


def ask(client, heard=None, abort=None):
    on_delta = None if heard is None else lambda delta: heard.append(delta.text)
    return complete(client, ASKED, abort=abort or AbortSignal(), on_delta=on_delta)


class Plain:
    """A client that knows nothing of pieces."""

    model = "plain"

    def complete(self, request, *, abort):
        return Completion("plain")


class Proxy:
    """Has the method of another."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda client: client,
        lambda client: Dispatched(client, Dispatcher("d")),
        lambda client: Fallback("f", {"a": client}),
        lambda client: RoundRobin([client]),
        Proxy,
    ],
    ids=["itself", "dispatched", "fallback", "round-robin", "proxy"],
)
def test_pieces_come_through(wrap):
    heard = []
    assert ask(wrap(ScriptedClient([streamed("It ", "is fine.")])), heard).text == "It is fine."
    assert heard == ["It ", "is fine."]


@pytest.mark.parametrize("client", [Plain(), Dispatched(Plain(), Dispatcher("d")), Fallback("f", {"a": Plain()})])
def test_a_client_that_tells_nothing_answers_all_the_same(client):
    heard = []
    assert ask(client, heard).text == "plain"
    assert heard == []


def test_the_offline_analyst_tells_nothing():
    assert not takes_deltas(OfflineAnalyst())


def test_a_fallback_asks_the_next_while_nothing_was_told():
    heard = []
    fallback = Fallback("f", {"a": ScriptedClient([streamed(CUT)]), "b": ScriptedClient([streamed("two")])})
    assert ask(fallback, heard).text == "two"
    assert heard == ["two"]


def test_a_fallback_does_not_go_on_with_another_in_the_middle_and_asks_that_one_the_next_time():
    second, heard = ScriptedClient([streamed("two")]), []
    fallback = Fallback("f", {"a": ScriptedClient([streamed("on", CUT)]), "b": second})
    with pytest.raises(LLMError, match="cut"):
        ask(fallback, heard)
    assert (heard, second.requests) == (["on"], [])
    assert ask(fallback, heard).text == "two"


def test_an_answer_that_breaks_off_counts_for_the_circuit():
    limits = Dispatcher("d").limits
    dispatcher = Dispatcher("d", type(limits)(failure_threshold=1))
    with pytest.raises(LLMError, match="cut"):
        ask(Dispatched(ScriptedClient([streamed("on", CUT)]), dispatcher), [])
    assert dispatcher.state().circuit == "open"


def test_a_script_tells_words_and_calls_and_does_what_it_says_between():
    heard, seen = [], []
    look = ToolCall("c", "look", {"n": 1})
    client = ScriptedClient([streamed("So ", lambda request: seen.append((request, *heard)), look, look)])
    found = client.complete(ASKED, abort=AbortSignal(), on_delta=heard.append)
    words, *calls = heard
    assert words == Delta("text", "So ")
    assert calls == [Delta("tool_call", '{"n": 1}', index, "c", "look") for index in (0, 1)]
    assert seen == [(ASKED, words)]
    assert (found.text, [call.arguments for call in found.tool_calls]) == ("So ", [{"n": 1}] * 2)
    assert found.stop_reason == "tool_use"


def test_a_script_says_the_same_to_who_does_not_listen():
    assert ask(ScriptedClient([streamed("It ", "is.", tool("look"))])).text == "It is."
    with pytest.raises(LLMError, match="cut"):
        ask(ScriptedClient([streamed("It ", CUT)]))


def test_a_script_that_hangs_in_the_middle_ends_with_the_abort():
    abort, heard = AbortSignal(), []
    client = ScriptedClient([streamed("It ", lambda _request: abort.abort(), "is.", ScriptedClient.HANG)])
    with pytest.raises(Aborted):
        ask(client, heard, abort)
    assert heard == ["It "]
