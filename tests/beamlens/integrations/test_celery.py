"""Against a real worker process, with a broker in a folder."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from beamlens.probes.request_context import InboundRequest, enter, leave

TRACE = "0af7651916cd43dd8448eb211c80319c"
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", params=["solo", "prefork"])
def worker(request, tmp_path_factory):
    """The application's module on this side, a worker of the pool on the other."""
    folder = tmp_path_factory.mktemp(request.param)
    for name in ("queue", "control", "results"):
        (folder / name).mkdir()
    os.environ["TASKS_FOLDER"] = str(folder)
    sys.modules.pop("tests.support.tasks_app", None)
    module = importlib.import_module("tests.support.tasks_app")
    command = [sys.executable, "-m", "celery", "-A", "tests.support.tasks_app", "worker", "-c", "1"]
    path = os.pathsep.join(str(folder) for folder in (ROOT, ROOT / "actors", ROOT / "supervision"))
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [*command, "-P", request.param, "--without-mingle", "--without-gossip"],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path},
        )
    try:
        yield module
    finally:
        process.terminate()
        process.wait(30.0)
        module.door.remove()
        sys.modules.pop("tests.support.tasks_app", None)
        del os.environ["TASKS_FOLDER"]


def get(result):
    """The result of a task; celery's own wait polls too."""
    return result.get(timeout=60.0, interval=0.05)


def seen(module):
    return json.loads(get(module.seen.delay()))


def test_tasks_are_counted_by_name_with_their_time_in_the_queue(worker):
    assert get(worker.add.delay(1, 2)) == 3
    found = seen(worker)
    (row,) = [row for row in found["routes"] if row["route"] == "task shop.add"]
    assert (row["count"], row["errors"]) == (1, 0)
    assert row["queue_p95_ms"] is not None
    assert found["pid"] != os.getpid()
    assert found["snapshot"]["by_status"]["ok"] >= 1


def test_the_task_under_way_is_seen_with_its_line(worker):
    (row,) = seen(worker)["in_flight"]
    assert (row["route"], row["kind"]) == ("task shop.seen", "celery")
    assert "tests/support/tasks_app.py" in row["at"]


def test_a_task_that_fails_is_an_error_and_an_exception_with_its_place(worker):
    with pytest.raises(ValueError, match="no such order"):
        get(worker.fail.delay())
    found = seen(worker)
    row = found["errors"][0]
    assert (row["route"], row["exception"], row["message"]) == ("task shop.fail", "ValueError", "no such order")
    assert row["at"].endswith(" fail")
    one = next(one for one in found["exceptions"] if one["type"] == "ValueError")
    assert (one["handled"], one["route"]) == (True, "task shop.fail")


def test_a_retry_is_counted_as_such_and_its_reason_is_seen(worker):
    assert get(worker.again.delay()) == "done"
    found = seen(worker)
    (row,) = [row for row in found["routes"] if row["route"] == "task shop.again"]
    assert (row["count"], row["errors"], row["retried"]) == (2, 0, 1)
    assert "KeyError" in {one["type"] for one in found["exceptions"]}


def test_the_trace_of_the_request_that_published_it_goes_with_the_task(worker):
    request = InboundRequest("http", "POST", "/", traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    outer = enter(request)
    try:
        assert seen(worker)["trace_id"] == TRACE
    finally:
        request.end()
        leave(request, outer)


def test_a_countdown_is_no_time_in_the_queue(worker):
    began = time.monotonic()
    get(worker.add.apply_async((1, 1), countdown=2))
    assert time.monotonic() - began >= 1.9
    found = seen(worker)
    latest = max((row for row in found["slow"] if row["route"] == "task shop.add"), key=lambda row: row["time"])
    assert latest["queued_ms"] < 1900
