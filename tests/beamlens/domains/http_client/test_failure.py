from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from beamlens.domains.http_client.failure import kind_of


class SomeReadTimeout(Exception):
    pass


class Cancelled(BaseException):
    """As trio's."""


class Timeout(BaseException):
    """As gevent's."""


def caused(error, cause):
    error.__cause__ = cause
    return error


def circle():
    one, other = OSError(1), OSError(2)
    one.__cause__, other.__cause__ = other, one
    return one


class Strange(Exception):
    def __str__(self):
        raise RuntimeError("never called")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(111, "refused"), "refused"),
        (socket.gaierror(-2, "unknown"), "dns"),
        (ssl.SSLError(1, "certificate"), "tls"),
        (TimeoutError(), "timeout"),
        (BrokenPipeError(), "reset"),
        (SomeReadTimeout(), "timeout"),
        (caused(ValueError("wrapped"), ConnectionRefusedError()), "refused"),
        (caused(ConnectionError("no more tries"), caused(OSError(), socket.gaierror())), "dns"),
        (ExceptionGroup("all failed", [OSError(), ConnectionRefusedError()]), "refused"),
        (asyncio.CancelledError(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
        (Cancelled(), "cancelled"),
        (Timeout(), "timeout"),
        (ValueError("bad url"), "other"),
        (circle(), "other"),
        (Strange(), "other"),
    ],
)
def test_the_kind_is_that_of_the_most_telling_cause(error, kind):
    assert kind_of(error) == kind
