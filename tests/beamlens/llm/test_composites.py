from __future__ import annotations

import pytest

from beamlens.errors import LLMError
from beamlens.llm.client import Message, Request
from beamlens.llm.composites import Fallback, RoundRobin
from beamlens.telemetry import events
from beamlens.testing import ScriptedClient
from beamlens_actors import Aborted, AbortSignal
from beamlens_actors.testing import FakeClock

ASKED = Request("", (Message.user("u"),), timeout=60.0)
DOWN = LLMError("down", kind="server", retryable=True)


@pytest.fixture(autouse=True)
def clock():
    with FakeClock() as fake:
        yield fake


def client(*script, model="m"):
    return ScriptedClient(script, model=model, repeat_last=True)


def ask(composite):
    return composite.complete(ASKED, abort=AbortSignal()).text


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        LLMError("no credit", kind="rate_limit", retryable=False),
        LLMError("wrong key", kind="authentication", retryable=False),
        LLMError("open", kind="rejected", retryable=False),
    ],
    ids=lambda error: error.kind,
)
def test_when_one_fails_the_next_is_asked(error):
    first, second = client(error), client("two")
    told = []
    fallback = Fallback("f", {"a": first, "b": second}, report=lambda *event: told.append(event))
    assert ask(fallback) == "two"
    ((name, numbers, metadata),) = told
    events.check(name, {"system_time": 0.0, **numbers}, {"instance": "i", **metadata})
    assert metadata == {"provider": "f", "failed": "a", "next": "b", "reason": str(error)}


@pytest.mark.parametrize(
    "error",
    [LLMError("too long", kind="invalid_request", retryable=False), LLMError("no", kind="response", retryable=False)],
)
def test_what_is_the_requests_fault_is_not_asked_elsewhere(error):
    second = client("two")
    with pytest.raises(LLMError):
        ask(Fallback("f", {"a": client(error), "b": second}))
    assert second.requests == []


def test_an_abort_goes_through():
    second = client("two")
    with pytest.raises(Aborted):
        ask(Fallback("f", {"a": client(Aborted("enough")), "b": second}))
    assert second.requests == []


def test_one_that_failed_comes_last_for_a_while(clock):
    first, second = client(DOWN, "one", model="first"), client("two", model="second")
    fallback = Fallback("f", {"a": first, "b": second}, cooldown=60.0)
    assert fallback.model == "first"
    assert [ask(fallback), ask(fallback)] == ["two", "two"]
    assert fallback.model == "second"
    clock.advance(60.0)
    assert ask(fallback) == "one"
    assert len(first.requests) == 2


def test_one_that_said_how_long_is_left_alone_for_so_long(clock):
    first = client(LLMError("wait", kind="rate_limit", retryable=True, retry_after=300.0), "one")
    fallback = Fallback("f", {"a": first, "b": client("two")}, cooldown=60.0)
    ask(fallback)
    clock.advance(299.0)
    assert ask(fallback) == "two"
    clock.advance(1.0)
    assert ask(fallback) == "one"


def test_one_that_was_not_called_is_left_alone_only_as_long_as_it_said(clock):
    first = client(LLMError("open", kind="rejected", retryable=False, retry_after=10.0), "one")
    fallback = Fallback("f", {"a": first, "b": client("two")}, cooldown=60.0)
    assert [ask(fallback), ask(fallback)] == ["two", "two"]
    clock.advance(10.0)
    assert ask(fallback) == "one"


def test_when_all_fail_the_last_error_is_raised_and_all_are_asked_again():
    first, second = client(DOWN, "one"), client(LLMError("busy", kind="overloaded", retryable=True))
    fallback = Fallback("f", {"a": first, "b": second})
    with pytest.raises(LLMError, match="busy"):
        ask(fallback)
    assert ask(fallback) == "one"


def test_the_next_has_what_is_left_of_the_timeout(clock):
    def slow(_request):
        clock.advance(20.0)
        return DOWN

    second = client("two")
    assert ask(Fallback("f", {"a": client(slow), "b": second})) == "two"
    assert second.requests[0].timeout == 40.0


def test_with_no_time_left_nobody_else_is_asked_until_the_next_call(clock):
    def slow(_request):
        clock.advance(60.0)
        return LLMError("no answer", kind="timeout", retryable=True)

    second = client("two")
    fallback = Fallback("f", {"a": client(slow), "b": second})
    with pytest.raises(LLMError, match="no answer"):
        ask(fallback)
    assert second.requests == []
    assert ask(fallback) == "two"


def test_clients_take_turns():
    robin = RoundRobin([client("one", model="a"), client("two", model="b")])
    assert [ask(robin) for _ in range(5)] == ["one", "two", "one", "two", "one"]
    assert robin.model == "a"
