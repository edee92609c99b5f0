"""A Celery application with a broker in a folder, and its worker's own watch: run as ``celery -A``."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import celery
from celery import signals

from beamlens.integrations import celery as door

FOLDER = Path(os.environ["TASKS_FOLDER"])
app = celery.Celery("tasks")
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={
        "data_folder_in": str(FOLDER / "queue"),
        "data_folder_out": str(FOLDER / "queue"),
        "control_folder": str(FOLDER / "control"),
    },
    result_backend=f"file://{FOLDER / 'results'}",
    broker_connection_retry_on_startup=False,
    worker_hijack_root_logger=False,
)
door.init()
_watched = []


@signals.worker_process_init.connect
def watch(**_named):
    from beamlens.domains import ExceptionDomain, RequestsDomain

    for domain in (RequestsDomain(), ExceptionDomain()):
        domain.recorder.install()
        _watched.append(domain)


@app.task(name="shop.add")
def add(a, b):
    return a + b


@app.task(name="shop.fail")
def fail():
    raise ValueError("no such order")


@app.task(name="shop.again", bind=True, max_retries=1)
def again(self):
    if self.request.retries == 0:
        try:
            raise KeyError("not yet")
        except KeyError as error:
            raise self.retry(exc=error, countdown=0) from error
    return "done"


@app.task(name="shop.seen")
def seen():
    """What this process has seen so far, this task under way."""
    from beamlens.probes import request_context

    requests, exceptions = _watched
    return json.dumps(
        {
            "routes": requests.routes(50),
            "slow": requests.slow(50),
            "errors": requests.errors(50),
            "in_flight": requests.in_flight(50),
            "snapshot": requests.snapshot(),
            "exceptions": exceptions.recent(50),
            "trace_id": request_context.current().trace_id,
            "pid": os.getpid(),
            "thread": threading.current_thread().name,
        }
    )
