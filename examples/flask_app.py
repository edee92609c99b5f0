"""A shop in Flask whose payments fail, watched. No key needed; end it with Ctrl-C.

    python examples/flask_app.py            # serves on port 8000; another port: flask_app.py 8001
    while sleep 0.1; do curl -s localhost:8000/pay/7; done

You will see, after some seconds of requests, an alert that names the exception, the route, and the line that raises it:
``flask_app.py:27 in charge``.
"""

from __future__ import annotations

import logging
import sys

from flask import Flask
from werkzeug.serving import make_server

from beamlens import Beamlens
from beamlens.integrations.flask import init_app

PRICES = {1: 10, 2: 25}
app = Flask(__name__)
init_app(app)  # the one line that the application needs


def charge(product: int) -> int:
    return PRICES[product]  # there is no product 7


@app.get("/pay/<int:product>")
def pay(product: int) -> str:
    return f"paid {charge(product)}\n"


def main() -> None:
    logging.basicConfig(format="%(name)s: %(message)s")
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with Beamlens.start(watchers=["requests", "exception"]):
        server = make_server("127.0.0.1", port, app, threaded=True)
        print(f"serving on http://127.0.0.1:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
