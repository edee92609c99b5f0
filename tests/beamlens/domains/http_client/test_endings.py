"""However a call ends, it is told once, with what ended it; and none is in flight for ever."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import threading
import urllib.request

import httpx
import pytest
import requests
import urllib3
from urllib3.util import Retry

from beamlens.domains import HttpClientDomain
from beamlens.domains.http_client import taps
from beamlens.domains.http_client.call import Call, finish
from beamlens.domains.http_client.failure import kind_of


def ended(recorder):
    with recorder.reading() as book:
        return sorted(book.slow(), key=lambda call: call.began)


def told(recorder):
    return [(call.status, call.error) for call in ended(recorder)]


async def until(condition):
    """Wait on another thread, so that the loop goes on."""

    def look():
        while not condition():
            threading.Event().wait(0.001)

    await asyncio.to_thread(look)


def streamed(url, **options):
    with requests.get(url, stream=True, **options) as response:
        return b"".join(response.iter_content(7))


def by_pool(url, **options):
    with urllib3.PoolManager(retries=False) as pool:
        return pool.request("GET", url, **options).data


def by_urllib(url, **options):
    with urllib.request.urlopen(url, **options) as response:
        return response.read()


def by_urllib_in_parts(url, **options):
    with urllib.request.urlopen(url, **options) as response:
        while part := response.read(7):
            last = part
        return last


READERS = [requests.get, streamed, by_pool, by_urllib]
FAILURES = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)
each_reader = pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)


@each_reader
@pytest.mark.parametrize("path", ["/short", "/short_chunked"])
def test_a_body_that_breaks_off_is_a_reset(recorder, web, read, path):
    with pytest.raises(FAILURES):
        read(web.url(path), timeout=5)
    gc.collect()
    assert told(recorder) == [(200, "reset")]


@each_reader
@pytest.mark.parametrize("path", ["/halt", "/halt_chunked"])
def test_a_body_that_does_not_come_in_time_is_a_timeout(recorder, web, read, path):
    with pytest.raises(FAILURES):
        read(web.url(path), timeout=0.1)
    gc.collect()
    assert told(recorder) == [(200, "timeout")]


def test_a_body_that_breaks_off_and_is_read_in_parts_is_a_reset_though_nothing_is_raised(recorder, web):
    assert by_urllib_in_parts(web.url("/short"), timeout=5)
    assert told(recorder) == [(200, "reset")]


def test_an_answer_that_the_program_closes_because_of_something_else_is_no_failure(recorder, web):
    response = requests.get(web.url("/halt"), stream=True, timeout=5)
    try:
        requests.get(web.url("/hang"), timeout=0.1)
    except requests.Timeout:
        response.close()
    assert told(recorder) == [(200, ""), (0, "timeout")]


def test_a_stream_that_is_left_half_way_is_no_failure(recorder, web):
    for path in ("/halt", "/halt_chunked"):
        with requests.get(web.url(path), stream=True, timeout=5) as response:
            assert next(response.iter_content(7)) == b"x" * 7
        with httpx.Client() as client, client.stream("GET", web.url(path)) as response:
            assert next(response.iter_bytes(7)) == b"x" * 7
    gc.collect()
    assert told(recorder) == [(200, "")] * 4


def test_a_body_that_urllib3_reads_again_is_one_call_that_ended_well(recorder, web):
    with urllib3.PoolManager(retries=Retry(3, backoff_factor=0)) as pool:
        assert pool.request("GET", web.url("/short_once"), timeout=5).data == b"x" * 100
    (call,) = ended(recorder)
    assert (call.status, call.error, call.retries) == (200, "", 1)


def test_a_retry_counts_though_its_address_was_not_encoded(recorder, web):
    with urllib3.HTTPConnectionPool("127.0.0.1", web.port) as pool:
        retry = Retry(5, status_forcelist=[503], backoff_factor=0)
        assert pool.urlopen("GET", "/flaky/a b", retries=retry).status == 200
        assert pool.urlopen("GET", "/redirect", retries=retry).status == 200
    assert [(call.status, call.retries) for call in ended(recorder)] == [(200, 2), (200, 0)]


def test_a_body_whose_reading_is_given_up_is_cancelled(recorder, web):
    async def main():
        async with httpx.AsyncClient() as client:
            task = asyncio.create_task(client.get(web.url("/halt")))
            await until(lambda: [call for call in recorder.in_flight() if call.received])
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert told(recorder) == [(200, "cancelled")]


def test_a_connection_that_is_closed_or_dropped_before_its_answer_is_not_in_flight_for_ever(recorder, web):
    for end in (http.client.HTTPConnection.close, lambda connection: connection.sock.close()):
        connection = http.client.HTTPConnection("127.0.0.1", web.port)
        connection.request("GET", "/hang")
        assert len(recorder.in_flight()) == 1
        end(connection)
        del connection
        gc.collect()
        assert recorder.in_flight() == []
    assert told(recorder) == [(0, "cancelled")] * 2


def test_two_that_end_a_call_at_once_tell_it_once():
    """The recorder finds a dropped answer at the moment at which the program's thread ends the call itself."""
    heard, other = [], threading.Event()

    class Hearing:
        def begun(self, call):
            pass

        def ended(self, call):
            heard.append(call)

    class Contested(Call):
        """Ended by another thread as soon as anybody looks whether, or says that, it has ended."""

        @property
        def over(self):
            value = self.__dict__.get("over", False)
            self.race()
            return value

        @over.setter
        def over(self, value):
            self.race()
            self.__dict__["over"] = value

        def race(self):
            if started and not other.is_set():
                other.set()
                thread = threading.Thread(target=finish, args=(self,))
                thread.start()
                thread.join(10.0)

    started = []
    sink = Hearing()
    taps.add(sink)
    try:
        call = Contested("http.client", "GET", "example.com", "/", None)
        started.append(True)
        finish(call)
    finally:
        taps.remove(sink)
    assert (heard, other.is_set()) == ([call], True)


def test_an_exception_is_judged_without_a_word_of_its_own():
    class Mute(ConnectionResetError):
        def __bool__(self):
            raise AssertionError("asked whether it is true")

    error = RuntimeError("failed")
    error.__cause__ = Mute()
    assert kind_of(error) == "reset"


def test_what_could_not_be_told_before_is_not_missing_in_the_numbers_of_now(web):
    class Broken:
        def begun(self, call):
            raise RuntimeError("broken")

        ended = begun

    sink = Broken()
    taps.add(sink)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", web.port)) as connection:
        connection.request("GET", "/ok")
        connection.getresponse().read()
    taps.remove(sink)
    domain = HttpClientDomain()
    domain.recorder.install()
    assert domain.snapshot()["dropped"] == 0
    domain.close()
