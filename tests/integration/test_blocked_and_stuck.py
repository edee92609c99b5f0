"""Real programs that block their loop or exhaust their thread pool, watched without a key; and a healthy one."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import blinker
import pytest

from beamlens import Beamlens

LOCK = threading.Lock()


def line_of(mark):
    with open(__file__) as file:
        return next(number for number, line in enumerate(file, 1) if line.rstrip().endswith(f"# {mark}"))


def compute(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(100))  # computes


async def sleeping(reader, writer):
    await reader.readline()
    time.sleep(0.4)  # noqa: ASYNC251 # blocks
    await answer(writer)


async def computing(reader, writer):
    await reader.readline()
    compute(0.4)
    await answer(writer)


async def healthy(reader, writer):
    await reader.readline()
    compute(0.001)
    await asyncio.sleep(0.01)
    await answer(writer)


async def answer(writer):
    writer.write(b"done\n")
    await writer.drain()
    writer.close()
    await writer.wait_closed()


@contextmanager
def served(handler, clients):
    """A server on a loop of its own, and clients that keep asking on theirs."""
    stop, leave, ready, port = threading.Event(), threading.Event(), threading.Event(), []

    async def serve():
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        async with server:
            port.append(server.sockets[0].getsockname()[1])
            ready.set()
            await asyncio.to_thread(stop.wait)
            server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            await asyncio.gather(*others, return_exceptions=True)

    async def client():
        while not leave.is_set():
            reader, writer = await asyncio.open_connection("127.0.0.1", port[0])
            writer.write(b"please\n")
            await reader.readline()
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.02)

    async def crowd():
        await asyncio.gather(*(client() for _ in range(clients)))

    server = threading.Thread(target=lambda: asyncio.run(serve()), name="server")
    server.start()
    assert ready.wait(20)
    crowd_thread = threading.Thread(target=lambda: asyncio.run(crowd()), name="crowd")
    crowd_thread.start()
    try:
        yield
    finally:
        leave.set()
        crowd_thread.join(30)
        stop.set()
        server.join(30)


@pytest.fixture
def alerts():
    found, fired = [], threading.Condition()

    def on_alert(_sender, *, alert, **_metadata):
        with fired:
            found.append(alert)
            fired.notify_all()

    def wait(kind, seconds=60.0):
        with fired:
            fired.wait_for(lambda: [alert for alert in found if alert.anomaly_type == kind], seconds)
            return [alert for alert in found if alert.anomaly_type == kind]

    def both(kind, watchers):
        with fired:
            assert fired.wait_for(
                lambda: watchers <= {alert.watcher for alert in found if alert.anomaly_type == kind}, 60.0
            )

    wait.found, wait.both = found, both
    with blinker.signal("beamlens.watcher.alert_fired").connected_to(on_alert):
        yield wait


@pytest.mark.parametrize(("handler", "mark"), [(sleeping, "blocks"), (computing, "computes")])
def test_a_handler_that_blocks_the_loop_is_named_with_file_and_line(alerts, handler, mark):
    with served(handler, 2), Beamlens.start(watchers=["runtime"]):
        (alert, *_) = alerts("blocked_loop")
    assert alert.model == "offline"
    named = f"test_blocked_and_stuck.py:{line_of(mark)}"
    # What computes may be seen at either line of its loop.
    assert named in alert.hypothesis or (handler is computing and "in compute" in alert.hypothesis)
    assert "blocked event loop" in alert.hypothesis


def test_a_line_that_two_domains_name_is_one_insight(alerts):
    insights, dealt, settled = [], set(), threading.Condition()

    def deal(alert_ids):
        with settled:
            dealt.update(alert_ids)
            settled.notify_all()

    def on_insight(_sender, *, insight, **_metadata):
        insights.append(insight)
        deal(insight.alert_ids)

    def on_update(_sender, *, alert_ids, **_metadata):
        deal(alert_ids)

    with (
        blinker.signal("beamlens.coordinator.insight_produced").connected_to(on_insight),
        blinker.signal("beamlens.coordinator.update_alert_statuses").connected_to(on_update),
        served(sleeping, 2),
        Beamlens.start(watchers=["runtime", "vm_events"]),
    ):
        alerts.both("blocked_loop", {"runtime", "vm_events"})
        with settled:
            assert settled.wait_for(lambda: {alert.id for alert in alerts.found} <= dealt, 60.0)
    named = {(insight.cause.place.file, insight.cause.place.line) for insight in insights if insight.cause}
    assert named == {(__file__, line_of("blocks"))}
    assert len(insights) == 1


def refresh(gateway):
    with LOCK:
        gateway.recv(1)  # holds


def order():
    with LOCK:  # waits
        pass


def test_a_pool_that_is_stuck_on_a_lock_is_named_with_the_lock_and_its_holder(alerts):
    left, right = socket.socketpair()
    holder = threading.Thread(target=refresh, args=(right,), name="refresher")
    holder.start()
    with (
        left,
        right,
        ThreadPoolExecutor(3, thread_name_prefix="orders") as pool,
        Beamlens.start(watchers=["runtime", "vm_events"]),
    ):
        for _ in range(10):
            pool.submit(order)
        try:
            (stuck, *_) = alerts("executor_stuck")
            (locked, *_) = alerts("lock_wait")
        finally:
            left.send(b"x")
            holder.join(20)
    for alert in (stuck, locked):
        assert f"test_blocked_and_stuck.py:{line_of('waits')}" in alert.hypothesis
        assert f"'refresher' holds it at integration/test_blocked_and_stuck.py:{line_of('holds')}" in alert.hypothesis


def test_a_healthy_busy_service_stays_without_an_alert(alerts):
    done = threading.Event()
    with served(healthy, 6), ThreadPoolExecutor(4) as pool, Beamlens.start(watchers=["runtime", "vm_events"]) as lens:
        for _ in range(60):
            for _ in range(20):
                pool.submit(compute, 0.0005)
            done.wait(0.2)
        loop = lens.domain("runtime").snapshot()
    assert alerts.found == []
    assert loop["event_loops"] == 2.0
    assert loop["loop_blocked_pct"] < 15
