"""The door for Flask: ``init_app(app)``."""

from __future__ import annotations

from typing import Any

import flask
from werkzeug.exceptions import HTTPException

from beamlens.integrations.wsgi import REQUEST, WSGIMiddleware
from beamlens.probes import inbound
from beamlens.probes.routes import UNMATCHED


def init_app(app: flask.Flask) -> None:
    """Let `requests` see what an application serves, by its URL rules, and `exception` what its handlers catch.

    Call it once, after the application is made; calling it again changes nothing.
    """
    if isinstance(app.wsgi_app, WSGIMiddleware):
        return
    app.wsgi_app = WSGIMiddleware(app.wsgi_app)  # type: ignore[method-assign]
    app.before_request_funcs.setdefault(None, []).insert(0, _name_route)
    handle = app.handle_user_exception

    def handle_user_exception(error: Exception) -> Any:
        # All that a view raises comes through here, whether a handler is registered for it or not.
        if not _is_answer(error):
            inbound.caught(error, flask.request.environ.get(REQUEST))
        return handle(error)

    app.handle_user_exception = handle_user_exception  # type: ignore[method-assign,assignment]


def _name_route() -> None:
    request = flask.request.environ.get(REQUEST)
    if request is not None:
        rule = flask.request.url_rule
        request.route = UNMATCHED if rule is None else rule.rule


def _is_answer(error: Exception) -> bool:
    """``abort(404)`` and the like: how Flask says a status, no failure."""
    return isinstance(error, HTTPException) and (error.code or 500) < 500
