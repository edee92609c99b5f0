"""The shop without anybody who watches: healthy it is flat, and each fault is real."""

from __future__ import annotations

import ast
import logging
import random
import threading
import time
from pathlib import Path

import psutil
import pytest

from beamlens.demo import FAULTS, Injection, choose, run_demo
from beamlens.demo.faults import SHOP
from beamlens.demo.runner import LONGEST
from beamlens.demo.shop.notifications import Notifications
from beamlens.demo.stage import Stage
from beamlens.evidence import CauseKind

VARIANTS = [(fault, variant) for fault in FAULTS for variant in fault.variants]
ME = psutil.Process()


class Errors(logging.Handler):
    """Counts error records."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.count = 0

    def emit(self, record):
        self.count += 1


@pytest.fixture
def errors():
    """The shop's error records."""
    handler, logger = Errors(), logging.getLogger("shop")
    logger.addHandler(handler)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)
    logger.propagate = True


@pytest.fixture
def stage(errors):
    """The shop in good health; afterwards nothing of it may be left."""
    threads, descriptors, children = set(threading.enumerate()), ME.num_fds(), ME.children()
    with Stage(1) as stage:
        until(lambda: stage.service.served > 20)
        yield stage
        folder = stage._folder.name
    assert set(threading.enumerate()) <= threads
    assert ME.num_fds() <= descriptors
    assert ME.children() == children
    assert not Path(folder).exists()


def until(condition, seconds=30):
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        pause.wait(0.05)


def test_a_healthy_shop_is_flat(stage, errors):
    rss, threads, descriptors = ME.memory_info().rss, ME.num_threads(), ME.num_fds()
    served = stage.service.served
    until(lambda: stage.service.served > served + 100)
    assert (stage.service.failed, errors.count) == (0, 0)
    assert ME.memory_info().rss - rss < 5_000_000
    assert ME.num_threads() - threads <= 2
    assert ME.num_fds() - descriptors <= 5


def symptom(kind, errors):
    """What a fault of a kind must bring about."""
    rss, threads, descriptors = ME.memory_info().rss, ME.num_threads(), ME.num_fds()
    cpu = sum(ME.cpu_times()[:2])
    return {
        CauseKind.MEMORY_LEAK: lambda: ME.memory_info().rss - rss > 12_000_000,
        CauseKind.DESCRIPTOR_LEAK: lambda: ME.num_fds() - descriptors > 15,
        CauseKind.THREAD_PILE_UP: lambda: ME.num_threads() - threads > 6,
        CauseKind.FAILING_DEPENDENCY: lambda: errors.count > 10,
        CauseKind.GIL_HOG: lambda: sum(ME.cpu_times()[:2]) - cpu > 1.5,
    }[kind]


@pytest.mark.parametrize(("fault", "variant"), VARIANTS, ids=[f"{f.name}/{v.name}" for f, v in VARIANTS])
def test_a_fault_is_real_and_ends_with_the_shop(stage, errors, fault, variant):
    came = symptom(fault.kind, errors)
    stage.inject(Injection(fault, variant, variant.changes(random.Random(1)), after=0.0))
    until(came)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_no_fault_can_harm_the_machine_in_the_time_that_it_has(fault):
    for seed in range(200):
        injection = choose(fault.name, seed)
        seconds, changed = LONGEST - injection.after, injection.changes
        orders = changed.get("orders_per_s", 40.0)
        leaked = max(changed.get("page_bytes", 0), changed.get("history_bytes", 0))
        assert leaked * orders * seconds <= 250_000_000
        assert (orders if "idle_connections" in changed else changed.get("receipts_per_s", 0)) * seconds <= 400
        assert changed.get("notifications_per_s", 0) * seconds <= 120


def test_the_shop_knows_nothing_of_who_watches_it():
    imported = set()
    for path in SHOP.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module)
    assert "shop.settings" in imported
    assert not [name for name in imported if name.startswith("beamlens")]


def test_a_part_that_cannot_be_stopped_does_not_keep_the_rest_alive(errors):
    children = ME.children()
    stage = Stage(1).__enter__()
    stop = stage.service.stop

    def stuck():
        stop()
        raise RuntimeError("stuck")

    stage.service.stop = stuck
    with pytest.raises(RuntimeError, match="stuck"):
        stage.close()
    assert ME.children() == children
    assert not Path(stage._folder.name).exists()


def test_a_demo_that_is_stopped_ends_early_and_leaves_nothing(errors):
    threads, descriptors = set(threading.enumerate()), ME.num_fds()
    stop, seen = threading.Event(), []

    def on_event(name, value):
        seen.append(name)
        stop.set()

    result = run_demo(choose("cache-leak", 1), 1, on_event=on_event, stop=stop)
    assert seen[0] == "started"
    assert "injected" not in seen
    assert (result.cause, result.insights) == (None, [])
    until(lambda: set(threading.enumerate()) <= threads)
    assert ME.num_fds() <= descriptors


def test_a_mail_whose_thread_cannot_start_leaves_no_thread_to_wait_for(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    mailer = Notifications()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            mailer.send(("127.0.0.1", 1), 1, None, 0.0)
    mailer.close()
    assert mailer._threads == set()
