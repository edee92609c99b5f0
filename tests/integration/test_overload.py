"""Real executors that are fed faster than they drain are watched without a key; healthy bursts wake nobody."""

from __future__ import annotations

import contextlib
import inspect
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import blinker

from beamlens import Beamlens


class Mailer:
    """Sends mail through a pool of four threads, over a gateway that may be slow."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.over = threading.Event()
        self.pool = ThreadPoolExecutor(4, thread_name_prefix="mailer")

    def deliver(self, number):
        self.gateway()
        return number

    def gateway(self):
        threading.Event().wait(self.seconds)  # the gateway answers late

    def feed(self):
        """Fifty mails a second."""
        number = 0
        while not self.over.wait(0.02):
            number += 1
            self.pool.submit(self.deliver, number)

    @contextlib.contextmanager
    def busy(self, *work):
        threads = [threading.Thread(target=one) for one in work]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join(30)
            self.pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def watched():
    found, produced = {"alerts": [], "insights": []}, threading.Event()

    def on_alert(_sender, *, alert, **_metadata):
        found["alerts"].append(alert)

    def on_insight(_sender, *, insight, **_metadata):
        found["insights"].append(insight)
        produced.set()

    blinker.signal("beamlens.watcher.alert_fired").connect(on_alert)
    blinker.signal("beamlens.coordinator.insight_produced").connect(on_insight)
    with Beamlens.start(watchers=["overload"]) as lens:
        yield found, produced, lens


def line_of(function, text):
    lines, first = inspect.getsourcelines(function)
    return first + next(index for index, line in enumerate(lines) if text in line)


def test_an_executor_that_is_fed_too_fast_is_named_with_the_line_at_which_its_workers_stand():
    mailer = Mailer(seconds=0.2)
    with mailer.busy(mailer.feed), watched() as (found, produced, lens):
        assert produced.wait(90.0)
        state = lens.domain("overload").state()
    (alert, *_) = found["alerts"]
    assert alert.anomaly_type == "queue_overload"
    assert "queue of executor mailer grew steadily" in alert.observation
    place = f"test_overload.py:{line_of(Mailer.gateway, 'wait(self.seconds)')} in Mailer.gateway"
    assert f"its 4 consumers wait at integration/{place}" in alert.observation
    assert f"items are put at integration/test_overload.py:{line_of(Mailer.feed, 'submit')}" in alert.observation
    assert "are calls of integration/test_overload.py" in alert.observation
    (insight, *_) = found["insights"]
    assert place in insight.root_cause_hypothesis
    assert insight.confidence == "high"
    assert state["bottleneck_location"].startswith("queue of executor mailer")
    assert state["time_to_overflow_s"] is None  # it has no bound


def test_a_busy_program_whose_bursts_drain_stays_without_an_alert():
    mailer = Mailer(seconds=0.002)
    jobs = queue.Queue(maxsize=20)

    def burst():
        """Three hundred mails at once every three seconds, drained well before the next."""
        while not mailer.over.wait(3.0):
            for number in range(300):
                mailer.pool.submit(mailer.deliver, number)

    def fill():
        """A producer that waits for a queue that is nearly always full, as it is meant to."""
        while not mailer.over.is_set():
            with contextlib.suppress(queue.Full):
                jobs.put("job", timeout=0.2)

    def drain():
        while not mailer.over.wait(0.005):
            with contextlib.suppress(queue.Empty):
                jobs.get(timeout=0.2)

    with mailer.busy(burst, fill, drain), watched() as (found, _produced, lens):
        threading.Event().wait(45.0)
        snapshot = lens.domain("overload").snapshot()
    assert found["alerts"] == []
    assert snapshot["queues"] >= 2
    assert snapshot["overload_severity"] == "none"
