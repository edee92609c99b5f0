"""A service in FastAPI that blocks its event loop, watched. No key needed; end it with Ctrl-C.

    python examples/fastapi_app.py          # serves on port 8000; another port: fastapi_app.py 8001
    while true; do curl -s localhost:8000/report; done

You will see, after some seconds of requests, an alert that names the line which keeps the loop to itself:
``fastapi_app.py:31 in totals``.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from beamlens import Beamlens
from beamlens.integrations.fastapi import init_app


def totals() -> float:
    # As a slow query would that is made without await.
    time.sleep(0.4)
    return 99.5


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    with Beamlens.start(watchers=["runtime", "requests"]):
        yield


app = FastAPI(lifespan=lifespan)
init_app(app)


@app.get("/report")
async def report() -> dict[str, float]:
    return {"total": totals()}


def main() -> None:
    logging.basicConfig(format="%(name)s: %(message)s")
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_config=None)


if __name__ == "__main__":
    main()
