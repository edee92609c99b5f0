"""A web server on loopback that misbehaves on request, for clients of the tests."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import socket
import struct
import threading
from collections.abc import Iterator


class Web:
    """Where it is, and what it was told.

    Its paths: ``/ok...``, ``/chunked``, ``/500``, ``/404``, ``/redirect``, ``/flaky`` (503 twice, then 200), ``/reset``
    and ``/short`` (hang up at once, or in the middle of the body; ``/short_once`` only the first time), ``/hang`` and
    ``/halt`` (no answer, or half of one, until released); ``/short_chunked`` and ``/halt_chunked``.
    """

    def __init__(self, server):
        self.server = server
        self.host, self.port = server.server_address
        self.released = server.released
        self.asked = server.asked

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.server.asked.release()
        path = self.path.partition("?")[0].strip("/").partition("/")[0]
        getattr(self, f"do_{path}", self.do_ok)()

    def answer(self, status=200, body=b"x" * 100, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_ok(self):
        if self.server.slow.is_set():
            self.server.released.wait(0.5)
        if self.server.broken.is_set():
            self.answer(500)
        else:
            self.answer()

    def do_500(self):
        self.answer(500)

    def do_404(self):
        self.answer(404)

    def do_redirect(self):
        self.answer(302, b"", Location="/ok/after")

    def do_flaky(self):
        self.answer(200 if next(self.server.numbers) % 3 == 2 else 503)

    def do_chunked(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(3):
            self.wfile.write(b"5\r\nhello\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def do_reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def do_short(self):
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"x" * 50)
        self.close_connection = True

    def do_short_once(self):
        if next(self.server.numbers):
            self.answer()
        else:
            self.do_short()

    def half(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"32\r\n" + b"x" * 50 + b"\r\n")

    def do_short_chunked(self):
        self.half()
        self.close_connection = True

    def do_halt_chunked(self):
        self.half()
        self.server.released.wait(60.0)

    def do_hang(self):
        self.server.released.wait(60.0)
        with contextlib.suppress(OSError):
            self.answer()

    def do_halt(self):
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"x" * 50)
        self.server.released.wait(60.0)
        with contextlib.suppress(OSError):
            self.wfile.write(b"x" * 50)

    def handle(self):
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    def finish(self):
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_args):
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_args):
        pass


@contextlib.contextmanager
def web_server() -> Iterator[Web]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.released, server.asked, server.numbers = threading.Event(), threading.Semaphore(0), itertools.count()
    server.slow, server.broken = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Web(server)
    finally:
        server.released.set()
        server.shutdown()
        thread.join(10.0)
        server.server_close()


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
