from __future__ import annotations

import threading

import pytest

from beamlens.domains.requests import recorder as module
from beamlens.domains.requests.recorder import RequestRecorder
from beamlens.probes import inbound


@pytest.fixture
def recorder():
    made = RequestRecorder()
    made.install()
    yield made
    made.uninstall()


def serve(path="/", **more):
    request = inbound.begin("http", "GET", path, **more)
    inbound.end(request)


def test_requests_from_many_threads_are_all_counted(recorder):
    def work(name):
        for _ in range(500):
            serve(f"/{name}")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with recorder.reading() as book:
            book.routes()
    for thread in threads:
        thread.join()
    with recorder.reading() as book:
        assert {name: tally.count for name, tally in book.routes().items()} == {f"GET /{name}": 500 for name in "abcd"}
    assert recorder.dropped() == 0
    assert recorder.in_flight() == []


def test_while_somebody_reads_no_host_thread_waits_and_nothing_is_lost(recorder):
    with recorder.reading() as book:
        serve()
        serve()
        assert book.total == 0
    with recorder.reading() as book:
        assert book.total == 2


def test_what_is_answered_beyond_the_queue_is_counted_as_dropped(recorder, monkeypatch):
    with recorder.reading():
        for _ in range(module._MOST_PENDING + 7):
            serve()
    assert recorder.dropped() == 7
    assert recorder.rates.count(module.ANSWERED, 60) == module._MOST_PENDING + 7


def test_what_is_under_way_is_bounded(recorder, monkeypatch):
    monkeypatch.setattr(recorder._in_flight, "_most", 3)
    requests = [inbound.begin("http", "GET", f"/{number}") for number in range(5)]
    assert len(recorder.in_flight()) == 3
    assert recorder.dropped() == 2
    for request in reversed(requests):
        inbound.end(request)
    assert recorder.in_flight() == []


def test_a_request_that_ends_twice_counts_once(recorder):
    request = inbound.begin("http", "GET", "/")
    for _ in range(2):
        inbound.end(request)
    with recorder.reading() as book:
        assert book.total == 1


def test_two_recorders_hear_the_same_and_one_goes_on_without_the_other(recorder):
    other = RequestRecorder()
    other.install()
    serve()
    other.uninstall()
    serve()
    counts = []
    for one in (recorder, other):
        with one.reading() as book:
            counts.append(book.total)
    assert counts == [2, 1]


def test_in_a_forked_child_nobody_listens(recorder):
    inbound.after_fork()
    try:
        assert not inbound.listening()
    finally:
        recorder.install()
    assert inbound.listening()
