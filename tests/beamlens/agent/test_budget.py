from __future__ import annotations

import threading

import pytest

from beamlens.agent import Budget, Ledger, Limits
from beamlens.errors import BudgetExceeded, ConfigError, LLMError
from beamlens.llm.client import Completion, Message, Request, ToolCall, Usage
from beamlens.testing import ScriptedClient, tool
from beamlens_actors import Aborted, AbortSignal
from beamlens_actors.testing import FakeClock
from tests.support.loops import ADD, END, Run, in_background

SOME = Usage(input_tokens=100)
HAIKU = "claude-haiku-4-5-20251001"


def request(text="x" * 200, max_tokens=1000):
    return Request("", (Message.user(text),), max_tokens=max_tokens)


def spend(ledger, usage=SOME, model=HAIKU):
    ledger.reserve(model, request(), AbortSignal()).settle(model, usage)


@pytest.mark.parametrize(
    ("budget", "usage", "calls"),
    [
        (Budget(calls_per_hour=3), Usage(input_tokens=1), 3),
        (Budget(tokens_per_hour=250), Usage(input_tokens=100), 3),
        (Budget(usd_per_day=0.0025), Usage(output_tokens=200), 3),
        (Budget(calls_per_hour=0), Usage(), 0),
    ],
)
def test_a_budget_is_never_passed_by_more_than_one_call(budget, usage, calls):
    ledger = Ledger(budget)
    for _ in range(calls):
        spend(ledger, usage)
    with pytest.raises(BudgetExceeded):
        spend(ledger, usage)


@pytest.mark.parametrize(
    ("budget", "window"),
    [
        (Budget(calls_per_hour=1), 3600.0),
        (Budget(tokens_per_hour=1), 3600.0),
        (Budget(usd_per_day=0.0000001), 86_400.0),
    ],
)
def test_what_was_spent_comes_back_when_its_window_has_passed(budget, window):
    with FakeClock() as clock:
        ledger = Ledger(budget)
        spend(ledger)
        clock.advance(window - 1)
        with pytest.raises(BudgetExceeded):
            spend(ledger)
        clock.advance(1)
        spend(ledger)


def test_the_ledger_is_bounded_and_gives_back_late_rather_than_early():
    with FakeClock() as clock:
        ledger = Ledger(Budget(tokens_per_hour=10**9))
        for _ in range(5000):
            spend(ledger)
            clock.advance(1.0)
        assert len(ledger._account.look().to_json()["spent"]["tokens_per_hour"]) <= 251
        assert ledger.spent()["tokens_per_hour"] >= 3600 * 100


def test_a_call_in_flight_counts_with_what_it_may_come_to():
    ledger = Ledger(Budget(tokens_per_hour=1000))
    first = ledger.reserve(HAIKU, request(), AbortSignal())
    admitted = threading.Event()

    def second():
        lease = ledger.reserve(HAIKU, request(), AbortSignal())
        admitted.set()
        lease.settle(HAIKU, Usage(input_tokens=1))
        return True

    wait = in_background(second)
    assert not admitted.wait(0.05)
    first.settle(HAIKU, Usage(input_tokens=10))
    assert wait()
    assert ledger.spent() == {"tokens_per_hour": 11}


def test_what_waits_for_calls_in_flight_can_be_aborted():
    ledger = Ledger(Budget(tokens_per_hour=1000))
    ledger.reserve(HAIKU, request(), AbortSignal())
    abort = AbortSignal()

    def second():
        try:
            ledger.reserve(HAIKU, request(), abort)
        except Aborted:
            return "aborted"

    wait = in_background(second)
    abort.abort()
    assert wait() == "aborted"


def test_many_at_once_pass_a_budget_by_one_call_at_most():
    ledger = Ledger(Budget(tokens_per_hour=20_000))
    refused = []

    def ask():
        while True:
            try:
                lease = ledger.reserve(HAIKU, request(max_tokens=900), AbortSignal())
            except BudgetExceeded:
                refused.append(1)
                return True
            lease.settle(HAIKU, Usage(input_tokens=100, output_tokens=900))

    for wait in [in_background(ask) for _ in range(8)]:
        assert wait()
    assert len(refused) == 8
    assert 20_000 <= ledger.spent()["tokens_per_hour"] <= 20_000 + 1000


@pytest.mark.parametrize(
    ("kind", "charged"),
    [("timeout", True), ("connection", True), ("response", True), ("rate_limit", False), ("authentication", False)],
)
def test_a_failed_call_counts_and_its_tokens_do_where_it_may_have_been_read(kind, charged):
    ledger = Ledger(Budget(tokens_per_hour=10**6, calls_per_hour=10))
    client = ScriptedClient([LLMError("no", kind=kind, retryable=False)])
    Run(client, services={"budget": ledger}, until="answer", fallback=False)
    spent = ledger.spent()
    assert spent["calls_per_hour"] == 1
    assert (spent["tokens_per_hour"] > 0) is charged


def test_a_spent_budget_hands_the_run_to_the_offline_analyst_and_tells_once():
    told = []
    ledger = Ledger(Budget(calls_per_hour=2), lambda *what: told.append(what))
    client = ScriptedClient([tool("add", value=1)], repeat_last=True)
    limits = Limits(max_iterations=5)
    first = Run(client, [ADD, END], services={"budget": ledger}, limits=limits)
    second = Run(client, [ADD, END], services={"budget": ledger}, limits=limits)
    assert (first.outcome.model, second.outcome.model) == ("offline", "offline")
    assert len(client.requests) == 2
    assert told == [("calls_per_hour", 2.0, 2)]


def test_a_spent_budget_without_anybody_to_take_over_ends_the_run_and_is_named():
    client = ScriptedClient([tool("add", value=1)], repeat_last=True)
    run = Run(client, [ADD], services={"budget": Ledger(Budget(calls_per_hour=1))}, until="answer", fallback=False)
    assert run.outcome.stopped_by == "budget"
    assert "calls_per_hour is 1" in run.outcome.error


def test_the_offline_analyst_costs_nothing():
    ledger = Ledger(Budget(calls_per_hour=1))
    Run(ScriptedClient([tool("add", value=1)], repeat_last=True), [ADD], services={"budget": ledger})
    assert ledger.spent() == {"calls_per_hour": 1}


def test_a_model_of_unknown_price_counts_as_the_dearest():
    ledger = Ledger(Budget(usd_per_day=1))
    spend(ledger, Usage(output_tokens=1_000_000 // 75), model="nobody-knows")
    assert ledger.spent()["usd_per_day"] == pytest.approx(1.0, rel=0.01)


def test_tokens_of_one_answer_may_pass_the_budget_once():
    ledger = Ledger(Budget(tokens_per_hour=10))
    call = ToolCall("c", "add", {"value": 1})
    client = ScriptedClient([Completion(tool_calls=(call,), usage=Usage(input_tokens=1_000)), "Never."])
    run = Run(client, [ADD], services={"budget": ledger}, until="answer", fallback=False)
    assert (run.outcome.stopped_by, ledger.spent()) == ("budget", {"tokens_per_hour": 1000})


@pytest.mark.parametrize("bad", [{"usd_per_day": -1}, {"tokens_per_hour": "many"}, {"calls_per_hour": True}])
def test_a_budget_that_cannot_be_is_refused_by_name(bad):
    with pytest.raises(ConfigError, match=f"budget.{next(iter(bad))}"):
        Budget(**bad)
