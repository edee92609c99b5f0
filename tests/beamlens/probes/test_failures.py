from __future__ import annotations

import socket
import ssl
import urllib.error

import pytest

from beamlens.probes.exceptions import describe
from beamlens.probes.failures import is_dependency_failure, template, text_says_dependency


def raised(error, cause=None):
    try:
        raise error from cause
    except type(error) as caught:
        return describe(caught)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("refused"),
        TimeoutError(),
        socket.gaierror(-2, "Name or service not known"),
        OSError(113, "No route to host"),
        ssl.SSLCertVerificationError("certificate verify failed"),
        urllib.error.URLError("x"),
        RuntimeError("upstream answered with status 503"),
        RuntimeError("HTTP/1.1 502"),
        RuntimeError("503 Server Error: Service Unavailable for url"),
    ],
)
def test_what_fails_outside_is_a_dependency(error):
    assert is_dependency_failure(raised(error))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("timeout must be positive"),
        ValueError("order 502 is wrong"),
        KeyError("connection refused"),
        RuntimeError("500 rows too many"),
        RuntimeError("order 503 is wrong"),
        FileNotFoundError(2, "No such file"),
        ZeroDivisionError("division by zero"),
        urllib.error.HTTPError("http://x", 404, "Not Found", None, None),
    ],
)
def test_the_programs_own_mistakes_are_none(error):
    assert not is_dependency_failure(raised(error))


def test_a_wrapped_dependency_is_found_behind_the_wrapper():
    assert is_dependency_failure(raised(ValueError("no price"), ConnectionResetError("reset")))
    assert is_dependency_failure(raised(RuntimeError("no price"), TimeoutError()))
    assert not is_dependency_failure(raised(RuntimeError("no price"), KeyError("price")))


@pytest.mark.parametrize(
    "text", ["request timed out after 3 s", "Connection reset by peer", "HTTP status 503", "status=502"]
)
def test_texts_that_speak_of_a_dependency(text):
    assert text_says_dependency(text)


@pytest.mark.parametrize("text", ["order 503 shipped", "took 500 ms", "wrote 502 rows", "all is well"])
def test_texts_that_do_not(text):
    assert not text_says_dependency(text)


def test_messages_that_differ_in_values_only_have_one_template():
    one = template("user 'ann' has 3 orders, trace deadbeef01 at 0x7f00")
    assert one == template("user 'bob' has 17 orders, trace 0123456789ab at 0xffff")
    assert template("defaced the wall") == "defaced the wall"


def test_a_long_hostile_text_takes_no_time_to_judge():
    # Would not end, were a pattern to try all ways of splitting it.
    for text in ("code " * 100_000, "'" * 100_000, "status  " * 50_000, "0x" * 50_000):
        assert not text_says_dependency(text)
        template(text)
