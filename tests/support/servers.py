"""Real servers on loopback, for applications of the tests, and a client that keeps nothing open."""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import threading
import wsgiref.simple_server
from collections.abc import Iterator
from typing import NamedTuple


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Address(NamedTuple):
    host: str
    port: int

    def ask(self, path="/", method="GET", body=None, headers=(), timeout=30.0) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def ask_and_leave(self, path="/") -> None:
        """Read the first part of a response, then hang up."""
        with socket.create_connection((self.host, self.port), timeout=30.0) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert sock.recv(1024)


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_args):
        pass


@contextlib.contextmanager
def wsgiref_server(app) -> Iterator[Address]:
    """The one of the standard library: one request after the other, strict about what WSGI says."""
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=_Quiet)
    yield from _served(server)


@contextlib.contextmanager
def werkzeug_server(app) -> Iterator[Address]:
    """A thread for each request."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *_args):
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    yield from _served(server)


def _served(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="server")
    thread.start()
    try:
        yield Address("127.0.0.1", server.server_port)
    finally:
        server.shutdown()
        thread.join(10.0)
        server.server_close()


@contextlib.contextmanager
def uvicorn_server(app, lifespan="off") -> Iterator[Address]:
    import uvicorn

    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as sock:
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan=lifespan, ws="none", loop="asyncio")
        server = uvicorn.Server(config)
        started = threading.Event()
        startup = server.startup

        async def starting(sockets=None):
            await startup(sockets)
            started.set()

        server.startup = starting
        thread = threading.Thread(target=server.run, args=([sock],), name="uvicorn")
        thread.start()
        try:
            assert started.wait(30.0)
            yield Address(*sock.getsockname())
        finally:
            server.should_exit = True
            thread.join(30.0)
