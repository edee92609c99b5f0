"""Real libraries against a real server: each call counts once, with its kind of failure and its line."""

from __future__ import annotations

import asyncio
import gc
import http.client
import inspect
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import aiohttp
import httpx
import pytest
import requests
import urllib3
from urllib3.util import Retry

from beamlens.domains.http_client import call as calls
from beamlens.domains.http_client import taps
from beamlens.probes import request_context
from beamlens.probes.call_site import Site
from tests.support.web import closed_port


def by_requests(url, **options):
    return requests.get(url, **options).content


def by_urllib(url, **options):
    with urllib.request.urlopen(url, **options) as response:
        return response.read()


def by_urllib3(url, **options):
    with urllib3.PoolManager(retries=False) as pool:
        return pool.request("GET", url, **options).data


def by_httpx(url, **options):
    with httpx.Client(**options) as client:
        return client.get(url).content


def by_httpx_async(url, **options):
    async def main():
        async with httpx.AsyncClient(**options) as client:
            return (await client.get(url)).content

    return asyncio.run(main())


def by_aiohttp(url, **options):
    async def main():
        async with aiohttp.ClientSession() as client, client.get(url, **options) as response:
            return await response.read()

    return asyncio.run(main())


CLIENTS = {
    by_requests: "urllib3",
    by_urllib: "http.client",
    by_urllib3: "urllib3",
    by_httpx: "httpx",
    by_httpx_async: "httpx",
    by_aiohttp: "aiohttp",
}
every_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)


def ended(recorder):
    """All calls that have ended, oldest first."""
    with recorder.reading() as book:
        return sorted(book.slow(), key=lambda call: call.began)


async def until(condition):
    """Wait on another thread, so that the loop goes on."""

    def look():
        while not condition():
            threading.Event().wait(0.001)

    await asyncio.to_thread(look)


@every_client
def test_a_call_counts_once_with_its_route_status_body_and_line(recorder, web, client):
    assert client(web.url("/ok/orders/12345?token=secret")) == b"x" * 100
    (call,) = ended(recorder)
    assert (call.library, call.route) == (CLIENTS[client], f"GET {web.name}/ok/orders/{{id}}")
    assert (call.status, call.error, call.received, call.retries) == (200, "", 100, 0)
    assert 0 < call.first_byte <= call.took
    assert call.site.file == __file__
    assert call.site.function.startswith(client.__name__)
    assert "secret" not in str([getattr(call, name) for name in call.__slots__ if name != "__weakref__"])
    assert recorder.in_flight() == []


@every_client
def test_a_body_of_unknown_length_ends_the_call_too(recorder, web, client):
    assert client(web.url("/chunked")) == b"hello" * 3
    (call,) = ended(recorder)
    assert (call.status, call.error) == (200, "")


@every_client
def test_a_refused_connection_is_told_from_a_name_that_is_not_known(recorder, client):
    with pytest.raises((OSError, httpx.HTTPError, aiohttp.ClientError, urllib3.exceptions.HTTPError)):
        client(f"http://127.0.0.1:{closed_port()}/orders")
    with pytest.raises((OSError, httpx.HTTPError, aiohttp.ClientError, urllib3.exceptions.HTTPError)):
        client("http://nowhere.invalid/orders")
    assert [call.error for call in ended(recorder)] == ["refused", "dns"]


@every_client
def test_a_server_that_speaks_no_tls_is_a_failure_of_tls(recorder, web, client):
    with pytest.raises((OSError, httpx.HTTPError, aiohttp.ClientError, urllib3.exceptions.HTTPError)):
        client(web.url("/ok").replace("http:", "https:"))
    assert [call.error for call in ended(recorder)] == ["tls"]


@every_client
def test_a_connection_that_is_reset_is_told(recorder, web, client):
    with pytest.raises((OSError, httpx.HTTPError, aiohttp.ClientError, urllib3.exceptions.HTTPError)):
        client(web.url("/reset"))
    assert [call.error for call in ended(recorder)] == ["reset"]


@pytest.mark.parametrize(
    ("client", "options"),
    [
        (by_requests, {"timeout": 0.1}),
        (by_urllib, {"timeout": 0.1}),
        (by_urllib3, {"timeout": 0.1}),
        (by_httpx, {"timeout": 0.1}),
        (by_httpx_async, {"timeout": 0.1}),
        (by_aiohttp, {"timeout": aiohttp.ClientTimeout(total=0.1)}),
    ],
)
def test_an_answer_that_does_not_come_in_time_is_a_timeout(recorder, web, client, options):
    with pytest.raises((OSError, httpx.HTTPError, aiohttp.ClientError, urllib3.exceptions.HTTPError)):
        client(web.url("/hang"), **options)
    (call,) = ended(recorder)
    assert (call.error, call.limit) == ("timeout", "set")


@every_client
def test_an_answer_of_500_fails_and_one_of_404_does_not(recorder, web, client):
    for path in ("/500", "/404"):
        try:
            client(web.url(path))
        except urllib.error.HTTPError as error:
            error.close()
    assert [(call.status, call.error) for call in ended(recorder)] == [(500, "5xx"), (404, "")]


@pytest.mark.parametrize("client", [by_httpx, by_httpx_async, by_aiohttp])
def test_a_body_of_theirs_that_breaks_off_is_a_reset(recorder, web, client):
    with pytest.raises((httpx.HTTPError, aiohttp.ClientError)):
        client(web.url("/short"))
    assert [(call.status, call.error) for call in ended(recorder)] == [(200, "reset")]


def test_each_hop_of_a_redirect_is_a_call_of_its_own(recorder, web):
    by_requests(web.url("/redirect"))
    with httpx.Client(follow_redirects=True) as client:
        client.get(web.url("/redirect"))
    assert [(call.library, call.status) for call in ended(recorder)] == [
        ("urllib3", 302), ("urllib3", 200), ("httpx", 302), ("httpx", 200),
    ]  # fmt: skip
    assert all(call.retries == 0 for call in ended(recorder))


def test_what_urllib3_tries_again_is_one_call_with_its_retries(recorder, web):
    with requests.Session() as session:
        retry = Retry(5, status_forcelist=[503], backoff_factor=0)
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        assert session.get(web.url("/flaky"), timeout=5).status_code == 200
    (call,) = ended(recorder)
    assert (call.status, call.retries, call.error) == (200, 2, "")


def test_what_httpx_tries_again_is_one_call_with_its_retries(recorder):
    with httpx.Client(transport=httpx.HTTPTransport(retries=1)) as client, pytest.raises(httpx.ConnectError):
        client.get(f"http://127.0.0.1:{closed_port()}/")
    (call,) = ended(recorder)
    assert (call.error, call.retries) == ("refused", 1)


def in_flight_at(recorder, web, client, path, **options):
    """Run a client on a thread until the server has its call; returns the call and the end of it."""
    failed = []

    def ask():
        try:
            client(web.url(path), **options)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert web.asked.acquire(timeout=10.0)

    def end():
        web.released.set()
        thread.join(10.0)
        assert failed == []

    return end


@pytest.mark.parametrize(
    ("client", "without", "limited"),
    [
        (by_requests, {}, {"timeout": 5}),
        (by_urllib, {}, {"timeout": 5}),
        (by_httpx, {"timeout": None}, {}),
        (by_httpx_async, {"timeout": None}, {}),
        (by_aiohttp, {"timeout": aiohttp.ClientTimeout(total=None)}, {}),
    ],
)
def test_a_call_that_hangs_says_its_line_and_whether_a_timeout_is_set(recorder, web, client, without, limited):
    end = in_flight_at(recorder, web, client, "/hang", **without)
    (call,) = recorder.in_flight()
    # The server has it before the client looks for the answer.
    while call.limit == "unknown":
        threading.Event().wait(0.001)
    assert (call.limit, call.stage, call.site.file) == ("none", "wire", __file__)
    end()
    client(web.url("/ok"), **limited)
    assert ended(recorder)[-1].limit == "set"
    assert recorder.in_flight() == []


def test_a_wait_for_a_connection_of_urllib3_is_told_apart(recorder, web):
    with urllib3.HTTPConnectionPool("127.0.0.1", web.port, maxsize=1, block=True) as pool:
        first = pool.urlopen("GET", "/ok", preload_content=False)
        with pytest.raises(urllib3.exceptions.EmptyPoolError):
            pool.urlopen("GET", "/ok", pool_timeout=0.05)
        first.drain_conn()
        first.release_conn()
    one, other = ended(recorder)
    assert (one.error, other.error) == ("", "pool")
    assert (one.pool_wait, other.pool_wait > 0.04) == (0.0, True)


def test_a_wait_for_a_connection_of_httpx_is_told_apart(recorder, web):
    limits = httpx.Limits(max_connections=1)
    client = httpx.Client(limits=limits, timeout=httpx.Timeout(5, pool=0.05))
    with client, client.stream("GET", web.url("/ok")), pytest.raises(httpx.PoolTimeout):
        client.get(web.url("/ok"))
    one, other = ended(recorder)
    assert (one.error, other.error) == ("", "pool")
    assert (one.pool_wait < 0.04, other.pool_wait > 0.04) == (True, True)


def test_a_wait_for_a_connection_of_aiohttp_is_told_apart(recorder, web):
    async def main():
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as client:
            first = await client.get(web.url("/halt"))
            waiting = asyncio.create_task(client.get(web.url("/ok")))
            await until(lambda: [call for call in recorder.in_flight() if call.stage == "pool"])
            await until(lambda: recorder.in_flight()[-1].age() > 0.05)
            web.released.set()
            await first.read()
            async with await waiting as second:
                await second.read()

    asyncio.run(main())
    one, other = ended(recorder)
    assert (one.pool_wait, other.pool_wait > 0.04) == (0.0, True)


def test_answers_that_nobody_reads_are_not_in_flight_for_ever(recorder, web):
    async def main():
        async with aiohttp.ClientSession() as client:
            response = await client.get(web.url("/halt"))
            response.close()

    asyncio.run(main())
    with httpx.Client() as client, client.stream("GET", web.url("/halt")):
        pass
    response = requests.get(web.url("/halt"), stream=True)
    assert [call.stage for call in recorder.in_flight()] == ["body"]
    response.close()
    del response
    gc.collect()
    assert recorder.in_flight() == []
    assert [call.error for call in ended(recorder)] == ["", "", ""]


def test_a_call_that_is_given_up_is_cancelled_and_no_failure(recorder, web):
    async def main():
        async with httpx.AsyncClient() as client:
            task = asyncio.create_task(client.get(web.url("/hang")))
            await until(lambda: web.asked.acquire(blocking=False))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    (call,) = ended(recorder)
    assert (call.error, call.failed) == ("cancelled", False)


def test_many_calls_at_once_are_each_counted_once(recorder, web):
    def sync():
        for _ in range(20):
            by_requests(web.url("/ok"))

    async def main():
        async with aiohttp.ClientSession() as client, httpx.AsyncClient() as other:

            async def one():
                async with client.get(web.url("/ok")) as response:
                    await response.read()

            await asyncio.gather(*(one() for _ in range(40)), *(other.get(web.url("/ok")) for _ in range(40)))

    threads = [threading.Thread(target=sync) for _ in range(4)]
    for thread in threads:
        thread.start()
    asyncio.run(main())
    for thread in threads:
        thread.join(30.0)
    with recorder.reading() as book:
        assert (book.total, book.hosts()[web.name].count) == (160, 160)
    assert recorder.dropped() == 0


@every_client
def test_calls_count_for_the_request_that_is_served(recorder, web, client):
    request = request_context.InboundRequest("http", "GET", "/checkout")
    outer = request_context.enter(request)
    try:
        client(web.url("/ok/7"))
        client(web.url("/ok/8"))
    finally:
        request_context.leave(request, outer)
    assert request.http_count == 2
    ((call, (times, seconds)),) = request.repeats.items()
    assert (call.part, call.what, times) == ("http", f"GET {web.name}/ok/{{id}}", 2)
    assert 0 < seconds == request.http_seconds
    assert call.place.file == __file__


METHODS = [
    (http.client.HTTPConnection, "putrequest"),
    (http.client.HTTPConnection, "endheaders"),
    (http.client.HTTPConnection, "getresponse"),
    (http.client.HTTPConnection, "close"),
    (http.client.HTTPResponse, "_close_conn"),
    (urllib3.connectionpool.HTTPConnectionPool, "urlopen"),
    (urllib3.connectionpool.HTTPConnectionPool, "_get_conn"),
    (httpx.HTTPTransport, "handle_request"),
    (httpx.AsyncHTTPTransport, "handle_async_request"),
    (aiohttp.ClientSession, "_request"),
    (aiohttp.connector.BaseConnector, "connect"),
    (aiohttp.connector.TCPConnector, "_create_connection"),
]


def in_place():
    return [vars(owner)[name] for owner, name in METHODS]


class Quiet:
    def begun(self, call):
        pass

    def ended(self, call):
        pass


def test_every_method_is_put_back_exactly_and_only_when_the_last_one_stops():
    before = in_place()
    one, other = Quiet(), Quiet()
    taps.add(one)
    taps.add(other)
    wrapped = in_place()
    assert not set(wrapped) & set(before)
    taps.remove(one)
    assert in_place() == wrapped
    taps.remove(other)
    assert in_place() == before


def test_a_tap_under_somebody_elses_wrapper_passes_through_and_a_new_one_counts_once(recorder, web):
    ours = vars(http.client.HTTPConnection)["putrequest"]
    before = ours.__closure__

    def theirs(self, *args, **kwargs):
        return ours(self, *args, **kwargs)

    http.client.HTTPConnection.putrequest = theirs
    try:
        recorder.uninstall()
        assert vars(http.client.HTTPConnection)["putrequest"] is theirs
        assert by_urllib(web.url("/ok")) == b"x" * 100
        assert ended(recorder) == []
        recorder.install()
        by_urllib(web.url("/ok"))
        assert len(ended(recorder)) == 1
        recorder.uninstall()
        assert vars(http.client.HTTPConnection)["putrequest"] is theirs
    finally:
        original = next(cell.cell_contents for cell in before if inspect.isfunction(cell.cell_contents)
                        and cell.cell_contents.__qualname__ == "HTTPConnection.putrequest")  # fmt: skip
        http.client.HTTPConnection.putrequest = original
        recorder.install()


def test_a_library_that_is_imported_later_is_listened_to_at_the_next_look():
    program = """
import sys
from beamlens.domains.http_client import HttpClientDomain, taps
domain = HttpClientDomain()
domain.recorder.install()
assert "httpx" not in taps.heard() and "aiohttp" not in taps.heard() and "urllib3" not in taps.heard()
import httpx, aiohttp, urllib3
domain.sense()
print(taps.heard())
domain.close()
print(taps.heard())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["['http.client', 'urllib3', 'httpx', 'aiohttp']", "[]"]


def test_a_sink_that_raises_neither_breaks_nor_changes_the_call(web):
    class Broken:
        def begun(self, call):
            raise RuntimeError("broken")

        ended = begun

    before, sink = calls.lost(), Broken()
    taps.add(sink)
    try:
        assert [client(web.url("/ok")) for client in CLIENTS] == [b"x" * 100] * len(CLIENTS)
    finally:
        taps.remove(sink)
    assert calls.lost() == before + 2 * len(CLIENTS)


def test_calls_of_beamlens_itself_are_not_the_hosts(recorder, web):
    source = "def complete(url):\n    import httpx\n    return httpx.get(url).content\n"
    library = requests.__file__.replace("/__init__.py", "/of_a_provider.py")
    sdk = {"__name__": "provider_sdk"}
    exec(compile(source, library, "exec"), sdk)
    ours = {"__name__": "beamlens.llm.client", "sdk": sdk["complete"]}
    exec(compile("def ask(url):\n    return sdk(url)\n", calls.__file__, "exec"), ours)
    thread = threading.Thread(target=ours["ask"], args=(web.url("/ok"),))
    thread.start()
    thread.join(10.0)
    assert web.asked.acquire(blocking=False)
    assert ended(recorder) == []


def test_a_line_of_a_library_is_named_where_no_line_is_the_programs(recorder, web):
    thread = threading.Thread(target=requests.get, args=(web.url("/ok"),))
    thread.start()
    thread.join(10.0)
    (call,) = ended(recorder)
    assert call.site is None or isinstance(call.site, Site)
    assert call.status == 200


def test_in_a_forked_child_nothing_is_wrapped():
    program = """
import os
from beamlens.domains.http_client import call, taps
from beamlens.domains.http_client.recorder import CallRecorder
import http.client
before = http.client.HTTPConnection.putrequest
CallRecorder().install()
pid = os.fork()
if not pid:
    print(taps.heard(), call.listening(), http.client.HTTPConnection.putrequest is before, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(taps.heard(), call.listening())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["[] False True", "['http.client'] True"]
