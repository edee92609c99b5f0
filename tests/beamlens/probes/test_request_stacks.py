from __future__ import annotations

import threading

import pytest

from beamlens.integrations.wsgi import WSGIMiddleware
from beamlens.probes import inbound, request_stacks, stacks
from beamlens.probes.request_context import InboundRequest


@pytest.fixture
def under_way():
    """A request that a thread serves through the door, parked in `wait_here`; and the sink that holds it."""
    held, inside, go = [], threading.Event(), threading.Event()

    class Sink:
        def begun(self, request):
            held.append(request)

        def answered(self, request):
            pass

    def wait_here():
        inside.set()
        go.wait(30.0)

    def app(environ, start_response):
        wait_here()
        return []

    sink = Sink()
    inbound.add(sink)
    thread = threading.Thread(target=WSGIMiddleware(app), args=({"PATH_INFO": "/"}, None), name="host-server")
    thread.start()
    assert inside.wait(30.0)
    yield held[0]
    go.set()
    thread.join(30.0)
    inbound.remove(sink)


def test_the_stack_of_a_request_is_that_of_its_thread_up_to_the_door(under_way):
    found = request_stacks.doing(under_way)
    assert found.at.function.endswith(".wait_here")
    assert found.blocks is False
    assert [frame.function.rpartition(".")[2] for frame in found.stack][-2:] == ["wait_here", "app"]


def test_a_host_thread_within_a_door_is_still_the_hosts(under_way):
    found = {stack.name: stack for stack in stacks.look()}
    assert found["host-server"].place.function.endswith(".wait_here")


def test_of_a_thread_that_serves_several_at_once_no_line_is_told(under_way):
    other = InboundRequest("http", "GET", "/other")
    other.thread = under_way.thread
    shared = request_stacks.shared_threads([under_way, other])
    assert shared == {under_way.thread}
    assert request_stacks.doing(under_way, shared=shared).stack == ()


def test_a_request_whose_thread_or_task_is_gone_has_no_stack():
    request = InboundRequest("http", "GET", "/")
    request.thread = -1
    assert request_stacks.doing(request).stack == ()
    request.task = lambda: None
    assert request_stacks.doing(request).stack == ()


def test_samples_count_only_those_that_are_wanted(under_way):
    other = InboundRequest("http", "GET", "/other")
    seen = request_stacks.sample(lambda: [under_way, other], lambda request: request is under_way, seconds=0.0)
    assert seen.looks == 1
    ((frame, count),) = seen.lines.items()
    assert (frame.function.rpartition(".")[2], count) == ("wait_here", 1)
