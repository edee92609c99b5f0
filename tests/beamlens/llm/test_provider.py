"""What is the same for all providers: when a call is tried again."""

from __future__ import annotations

import os
import threading

import pytest

from beamlens.llm.anthropic import AnthropicAPI
from beamlens.llm.client import Message, Request
from beamlens.llm.provider import Backoff, ProviderClient
from beamlens_actors import Aborted, AbortSignal
from beamlens_actors.testing import FakeClock
from tests.support.messages_api import MessagesAPI, error, message, text

ASKED = Request("", (Message.user("u"),), timeout=60.0)
LATER = error(429, "rate_limit_error", "slow down", retry_after="7")


class Asking:
    """A call on a thread of its own."""

    def __init__(self, server, abort=None):
        self.client = ProviderClient(AnthropicAPI(api_key="k", base_url=server.base_url), backoff=Backoff(1))
        self.abort, self.outcome = AbortSignal(), None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            self.outcome = self.client.complete(ASKED, abort=self.abort)
        except Aborted as error:
            self.outcome = error

    def end(self):
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.client.close()
        return self.outcome


def test_a_call_is_tried_again_after_exactly_as_long_as_the_server_asked():
    with FakeClock() as clock, MessagesAPI(LATER, message(text("ok"))) as server:
        asking = Asking(server)
        clock.wait_for_waiters(1, within=7.0)
        clock.advance(6.9)
        assert (clock.waiters(within=0.11), len(server.requests)) == (1, 1)
        clock.advance(0.1)
        assert asking.end().text == "ok"
    assert len(server.requests) == 2


def test_an_abort_ends_the_wait_before_the_next_try():
    with FakeClock() as clock, MessagesAPI(LATER) as server:
        asking = Asking(server)
        clock.wait_for_waiters(1, within=7.0)
        asking.abort.abort("enough")
        assert isinstance(asking.end(), Aborted)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("attempt", "most"), [(0, 0.5), (1, 1.0), (3, 4.0), (4, 8.0), (99, 8.0)])
def test_delays_double_up_to_a_bound_and_are_never_the_same_for_all(attempt, most):
    delays = [Backoff().delay(attempt) for _ in range(50)]
    assert all(most / 2 <= delay <= most for delay in delays)
    assert len(set(delays)) > 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_calls_over_a_connection_of_its_own():
    with MessagesAPI(message(text("ok"))) as server:
        client = ProviderClient(AnthropicAPI(api_key="k", base_url=server.base_url))
        assert client.complete(ASKED, abort=AbortSignal()).text == "ok"
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if client.complete(ASKED, abort=AbortSignal()).text == "ok" else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        client.close()
