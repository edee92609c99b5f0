"""A service in FastAPI whose reports fail, watched. No key needed; end it with Ctrl-C.

    python examples/fastapi_app.py          # serves on port 8000; another port: fastapi_app.py 8001
    while sleep 0.1; do curl -s localhost:8000/reports/may; done

You will see, after some seconds of requests, an alert that names the exception, the route, and the line that raises it:
``fastapi_app.py:37 in average``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from beamlens import Beamlens
from beamlens.integrations.fastapi import init_app

SALES: dict[str, list[float]] = {"april": [3.5, 4.0], "may": []}


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    with Beamlens.start(watchers=["requests", "exception"]):  # in each process that serves
        yield


app = FastAPI(lifespan=lifespan)
init_app(app)  # the one line that the application needs


def average(sales: list[float]) -> float:
    return sum(sales) / len(sales)  # nothing was sold in May


@app.get("/reports/{month}")
async def report(month: str) -> dict[str, float]:
    return {"average": average(SALES[month])}


def main() -> None:
    logging.basicConfig(format="%(name)s: %(message)s")
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False)


if __name__ == "__main__":
    main()
