from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.probes.routes import known_method, normalise


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("", "/"),
        ("/orders", "/orders"),
        ("/orders/", "/orders/"),
        ("/orders/17", "/orders/{id}"),
        ("/api/v2/orders/17/lines", "/api/v2/orders/{id}/lines"),
        ("/users/0b7e2c9a-58f1-4f7e-9d53-2a44a52c9b11", "/users/{id}"),
        ("/commits/deadbeef1", "/commits/{id}"),
        ("/users/ann@example.org", "/users/{id}"),
        ("/order-lines/big_red.html", "/order-lines/big_red.html"),
        ("/search?q=secret", "/search"),
        ("/" + "x" * 41, "/{id}"),
        ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/..."),
        ("/caf\u00e9", "/{id}"),
        ("/\x1b[2J", "/{id}"),
    ],
)
def test_what_differs_between_requests_is_left_out(path, route):
    assert normalise(path) == route


@given(st.text(max_size=500))
def test_any_path_becomes_a_short_printable_route_that_stays_itself(path):
    route = normalise(path)
    assert route.startswith("/")
    assert len(route) <= 8 * 41 + 5
    assert route.isascii()
    assert route.isprintable()


def test_a_method_that_http_does_not_know_is_other():
    assert (known_method("PATCH"), known_method("patch"), known_method("<x>")) == ("PATCH", "OTHER", "OTHER")
