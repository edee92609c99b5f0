"""A Django application whose view fails, watched. No key needed; end it with Ctrl-C.

    python examples/django_app.py           # serves on port 8000; another port: django_app.py 8001
    while sleep 0.1; do curl -s localhost:8000/orders/7/; done

You will see, after some seconds of requests, an alert that names the exception, the route, and the line that raises it:
``django_app.py:42 in ask_the_warehouse``. In a project of yours the settings are in a module of their own; what counts
is the first entry of MIDDLEWARE, and where Beamlens is started: once a process, such as in ``wsgi.py``.
"""

from __future__ import annotations

import logging
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from beamlens import Beamlens

settings.configure(
    DEBUG=False,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for this example",  # noqa: S106
    MIDDLEWARE=["beamlens.integrations.django.Middleware"],  # first, before all others
    LOGGING_CONFIG=None,
)
django.setup()


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def ask_the_warehouse(number: int) -> str:
    raise LookupError(f"the warehouse does not know order {number}")


def order(_request: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse(ask_the_warehouse(number))


urlpatterns = [path("orders/<int:number>/", order)]
application = get_wsgi_application()


def main() -> None:
    logging.basicConfig(format="%(name)s: %(message)s")
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with Beamlens.start(watchers=["requests", "exception"]):
        server = make_server("127.0.0.1", port, application, handler_class=Quiet)
        print(f"serving on http://127.0.0.1:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
