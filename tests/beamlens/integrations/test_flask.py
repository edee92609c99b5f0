from __future__ import annotations

import flask
import pytest

from beamlens.integrations import flask as door
from beamlens.integrations.wsgi import WSGIMiddleware
from beamlens.probes import request_context
from tests.support.servers import werkzeug_server


class OrderError(Exception):
    pass


@pytest.fixture
def app():
    made = flask.Flask(__name__)
    made.logger.disabled = True
    door.init_app(made)

    @made.get("/orders/<int:number>")
    def order(number):
        return request_context.current().route

    @made.get("/fail")
    def fail():
        raise OrderError("no such order")

    @made.get("/handled")
    def handled():
        raise KeyError("order")

    @made.errorhandler(KeyError)
    def on_key_error(error):
        return "gone", 410

    @made.get("/abort/<int:status>")
    def abort(status):
        flask.abort(status)

    @made.get("/stream")
    def stream():
        return flask.Response(iter([b"a", request_context.current().route.encode()]))

    return made


def test_routes_are_url_rules_and_known_within_the_view(requests_, ended, app):
    with werkzeug_server(app) as address:
        assert address.ask("/orders/17").body == b"GET /orders/<int:number>"
        address.ask("/orders/18")
        assert address.ask("/nowhere/1").status == 404
        assert address.ask("/stream").body == b"aGET /stream"
    ended(4)
    assert {row["route"]: row["count"] for row in requests_.routes()} == {
        "GET /orders/<int:number>": 2,
        "GET (unmatched)": 1,
        "GET /stream": 1,
    }


def test_an_exception_of_a_view_is_a_failed_request_and_an_exception_with_its_place(requests_, exceptions, ended, app):
    with werkzeug_server(app) as address:
        assert address.ask("/fail").status == 500
    ended(1)
    (row,) = requests_.errors()
    assert (row["route"], row["status"], row["message"]) == ("GET /fail", 500, "no such order")
    assert row["at"].endswith(".fail")
    (seen,) = exceptions.recent()
    assert (seen["handled"], seen["route"], seen["at"]) == (True, "GET /fail", row["at"])


def test_an_exception_that_a_handler_answers_is_seen_and_no_failed_request(requests_, exceptions, ended, app):
    with werkzeug_server(app) as address:
        assert address.ask("/handled").status == 410
    ended(1)
    assert requests_.snapshot()["error_count_1m"] == 0
    (seen,) = exceptions.recent()
    assert (seen["type"], seen["handled"], seen["route"]) == ("KeyError", True, "GET /handled")


@pytest.mark.parametrize(("status", "count"), [(404, 0), (503, 1)])
def test_an_abort_is_an_answer_below_500(requests_, exceptions, ended, app, status, count):
    with werkzeug_server(app) as address:
        assert address.ask(f"/abort/{status}").status == status
    ended(1)
    assert requests_.snapshot()["error_count_1m"] == count
    assert len(exceptions.recent()) == count


def test_installing_twice_and_behind_another_door_counts_once(requests_, ended, app):
    door.init_app(app)
    with werkzeug_server(WSGIMiddleware(app)) as address:
        address.ask("/orders/17")
    ended(1)
    assert [(row["route"], row["count"]) for row in requests_.routes()] == [("GET /orders/<int:number>", 1)]


def test_while_requests_are_not_watched_the_application_works_and_its_exceptions_are_still_seen(exceptions, app):
    app.view_functions["order"] = lambda number: str(request_context.current())
    with werkzeug_server(app) as address:
        assert address.ask("/orders/17").body == b"None"
        assert address.ask("/fail").status == 500
    (seen,) = exceptions.recent()
    assert (seen["type"].endswith(".OrderError"), seen["handled"], seen["route"]) == (True, True, None)
