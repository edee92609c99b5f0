"""Addresses as programs write them: each call has one name, and nothing secret is in it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import urllib.error
import urllib.request

import aiohttp
import pytest
import requests
import urllib3

from beamlens.domains.http_client.stdlib import target
from tests.support.web import closed_port


def ended(recorder):
    with recorder.reading() as book:
        return sorted(book.slow(), key=lambda call: call.began)


def kept(call):
    """All that a call keeps, as text."""
    return str([getattr(call, name) for name in call.__slots__ if name != "__weakref__"])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/orders?a=1", ("proxy", 3128, "/orders?a=1")),
        ("http://example.com/orders", ("example.com", None, "/orders")),
        ("http://example.com:8080/orders", ("example.com", 8080, "/orders")),
        ("http://ann:secret@example.com/orders", ("example.com", None, "/orders")),
        ("http://example.com?token=secret", ("example.com", None, "?token=secret")),
        ("http://example.com#secret", ("example.com", None, "#secret")),
        ("http://example.com?next=a/b@c", ("example.com", None, "?next=a/b@c")),
        ("http://[::1]/orders", ("[::1]", None, "/orders")),
        ("http://ann:secret@[::1]:8080/orders", ("[::1]", 8080, "/orders")),
    ],
)
def test_an_address_that_is_sent_to_a_proxy_is_taken_apart(url, expected):
    assert target("proxy", 3128, url) == expected


def test_a_password_that_urllib_takes_for_the_host_is_not_kept(recorder, web):
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://ann:secret@127.0.0.1:{web.port}/ok", timeout=5)
    (call,) = ended(recorder)
    assert (call.host, "secret" in kept(call)) == (web.name, False)


def test_a_query_without_a_path_that_is_sent_to_a_proxy_is_not_kept(recorder, web):
    with urllib3.ProxyManager(web.url("")) as proxy:
        proxy.request("GET", "http://ann:secret@shop.example?token=secret")
    (call,) = ended(recorder)
    assert (call.route, "secret" in kept(call)) == ("GET shop.example/", False)


def test_a_fragment_is_not_kept(recorder, web):
    connection = http.client.HTTPConnection("127.0.0.1", web.port)
    connection.request("GET", "/ok/orders#secret")
    connection.getresponse().read()
    connection.close()
    (call,) = ended(recorder)
    assert (call.route, "secret" in kept(call)) == (f"GET {web.name}/ok/orders", False)


def test_a_call_that_has_ended_keeps_no_id_of_its_path(recorder, web):
    requests.get(web.url("/ok/orders/4711/" + "x" * 5000), timeout=5)
    (call,) = ended(recorder)
    assert call.route == f"GET {web.name}/ok/orders/{{id}}/{{id}}"
    assert "4711" not in kept(call)


def test_a_method_in_small_letters_is_the_one_that_is_sent(recorder, web):
    async def main():
        async with aiohttp.ClientSession() as client, client.request("get", web.url("/ok")) as response:
            await response.read()

    asyncio.run(main())
    requests.request("get", web.url("/ok"), timeout=5)
    assert [call.route for call in ended(recorder)] == [f"GET {web.name}/ok"] * 2


def test_hosts_by_number_have_one_name_for_all_libraries(recorder):
    port = closed_port()
    with contextlib.suppress(OSError):
        http.client.HTTPConnection("::1", port).request("GET", "/")
    with contextlib.suppress(requests.ConnectionError):
        requests.get(f"http://[::1]:{port}/", timeout=5)

    async def main():
        async with aiohttp.ClientSession() as client:
            with contextlib.suppress(aiohttp.ClientError):
                await client.get(f"http://[::1]:{port}/")

    asyncio.run(main())
    assert [call.host for call in ended(recorder)] == [f"[::1]:{port}"] * 3
