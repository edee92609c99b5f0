"""`python -m benchmarks.false_alarms.supplier SEED`: another service on the loopback, that the shop calls.

It prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    chance = random.Random()

    def do_GET(self) -> None:
        """Answers after some milliseconds, as another service does; one in a hundred is busy."""
        time.sleep(self.chance.lognormvariate(-5.0, 0.5))
        body = b'{"available": true}'
        self.send_response(503 if self.chance.random() < 0.01 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the names of the base class
        """Says nothing."""


def main() -> None:
    """Serve until standard input ends."""
    _Answer.chance = random.Random(int(sys.argv[1]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
