from __future__ import annotations

import contextvars
import logging
import threading

import pytest

from beamlens.errors import BeamlensError
from beamlens.telemetry import (
    Bus,
    UndeclaredEvent,
    attach_default_logger,
    catalogue,
    detach_default_logger,
    events,
    signal,
)
from beamlens.telemetry import run as runs
from beamlens_actors.testing import FakeClock


@pytest.fixture
def bus():
    made = Bus("test", capacity=100)
    made.start()
    yield made
    made.close()


class Receiver:
    def __init__(self, name, sender=None):
        self.got = []
        self.threads = set()
        self._signal = signal(name)
        connect = {} if sender is None else {"sender": sender}
        self._signal.connect(self.receive, **connect)

    def receive(self, sender, *, measurements, **metadata):
        self.threads.add(threading.current_thread().name)
        self.got.append((sender, measurements, metadata))


def test_a_receiver_gets_sender_measurements_and_metadata(bus):
    receiver = Receiver("watcher.think")
    bus.emit("watcher.think", "logger", thought="hm")
    assert bus.flush()
    ((sender, measurements, metadata),) = receiver.got
    assert sender == "logger"
    assert list(measurements) == ["system_time"]
    assert metadata == {"instance": "test", "thought": "hm"}


def test_a_receiver_connected_to_a_sender_hears_only_that(bus):
    receiver = Receiver("watcher.think", sender="logger")
    bus.emit("watcher.think", "runtime", thought="a")
    bus.emit("watcher.think", "logger", thought="b")
    bus.flush()
    assert [metadata["thought"] for _, _, metadata in receiver.got] == ["b"]


def test_events_are_delivered_in_order_by_the_emitter_thread_and_never_by_the_one_that_emits(bus):
    receiver = Receiver("watcher.think")
    for number in range(50):
        bus.emit("watcher.think", "logger", thought=str(number))
    bus.flush()
    assert [metadata["thought"] for _, _, metadata in receiver.got] == [str(number) for number in range(50)]
    assert receiver.threads == {"test-telemetry"}


def test_a_receiver_that_raises_is_reported_and_the_others_still_run(bus, caplog):
    def broken(_sender, **_keywords):
        raise RuntimeError("broken")

    signal("watcher.think").connect(broken)
    receiver, failures = Receiver("watcher.think"), Receiver("telemetry.receiver_failed")
    bus.emit("watcher.think", "logger", thought="x")
    bus.flush()
    bus.flush()
    assert len(receiver.got) == 1
    assert failures.got[0][2]["event"] == "watcher.think"
    assert "broken" in failures.got[0][2]["receiver"]


def test_a_coroutine_function_is_reported_not_forgotten(bus, caplog):
    async def later(_sender, **_keywords):
        pass

    signal("watcher.think").connect(later)
    failures = Receiver("telemetry.receiver_failed")
    bus.emit("watcher.think", "logger", thought="x")
    bus.flush()
    bus.flush()
    assert "coroutine" in failures.got[0][2]["reason"]


def test_a_slow_receiver_is_measured_and_reported_once_a_minute(bus, caplog):
    with FakeClock() as fake:

        def slow(_sender, **_keywords):
            fake.advance(0.5)

        signal("watcher.think").connect(slow)
        reports = Receiver("telemetry.slow_receiver")
        for _ in range(3):
            bus.emit("watcher.think", "logger", thought="x")
        bus.flush()
        bus.flush()
        assert [measurements["duration"] for _, measurements, _ in reports.got] == [0.5]


def test_what_does_not_fit_the_queue_is_dropped_counted_and_told():
    bus = Bus("small", capacity=5)
    entered, release = threading.Event(), threading.Event()

    def block(_sender, **_keywords):
        entered.set()
        release.wait(10)

    signal("watcher.think").connect(block)
    drops = Receiver("telemetry.dropped")
    bus.start()
    bus.emit("watcher.think", "logger", thought="0")
    assert entered.wait(10)
    for number in range(8):
        bus.emit("watcher.think", "logger", thought=str(number))
    assert bus.dropped == 3
    release.set()
    bus.flush()
    bus.flush()
    bus.close()
    assert [measurements["count"] for _, measurements, _ in drops.got] == [3]


def test_a_runs_events_are_delivered_on_its_own_thread(bus):
    receiver = Receiver("watcher.think")
    run = bus.begin("f" * 32)
    token = runs.current.set(run)
    bus.emit("watcher.think", "logger", thought="x")
    runs.current.reset(token)
    run.close()
    assert receiver.threads == {threading.current_thread().name}
    assert receiver.got[0][2]["trace_id"] == "f" * 32


def test_what_a_tool_thread_emits_waits_for_the_runs_thread(bus):
    receiver = Receiver("watcher.think")
    run = bus.begin()
    token = runs.current.set(run)
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(lambda: bus.emit("watcher.think", "logger", thought="x"),))
    thread.start()
    thread.join()
    assert receiver.got == []
    run.deliver()
    runs.current.reset(token)
    run.close()
    assert receiver.threads == {threading.current_thread().name}


def test_what_nobody_hears_is_not_made_but_what_waits_is_delivered_with_it(bus, monkeypatch):
    monkeypatch.setattr("beamlens.telemetry.bus.checking", False)
    heard = Receiver("watcher.think")
    run = bus.begin()
    token = runs.current.set(run)
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(lambda: bus.emit("watcher.think", "logger", thought="x"),))
    thread.start()
    thread.join()
    bus.emit("watcher.wait", "logger", {"duration": 1.0})
    assert [metadata["thought"] for _, _, metadata in heard.got] == ["x"]
    late = Receiver("watcher.wait")
    bus.emit("watcher.wait", "logger", {"duration": 2.0})
    runs.current.reset(token)
    run.close()
    assert [measurements["duration"] for _, measurements, _ in late.got] == [2.0]


def test_a_listener_hears_what_has_no_receiver(bus, monkeypatch):
    monkeypatch.setattr("beamlens.telemetry.bus.checking", False)
    heard = []
    bus.listen(lambda name, *_rest: heard.append(name))
    bus.emit("watcher.wait", "logger", {"duration": 1.0})
    assert bus.flush()
    assert heard == ["watcher.wait"]


def test_flush_inside_a_receiver_is_refused(bus, caplog):
    failures = Receiver("telemetry.receiver_failed")

    def flush(_sender, **_keywords):
        bus.flush()

    signal("watcher.think").connect(flush)
    bus.emit("watcher.think", "logger", thought="x")
    bus.flush()
    bus.flush()
    assert "a receiver cannot call it" in failures.got[0][2]["reason"]


@pytest.mark.parametrize(
    ("name", "measurements", "metadata"),
    [
        ("no.such", {}, {}),
        ("watcher.think", {}, {}),
        ("watcher.think", {}, {"thought": 5}),
        ("watcher.think", {}, {"thought": "x", "more": 1}),
        ("watcher.think", {"count": 1}, {"thought": "x"}),
    ],
)
def test_an_emission_that_the_catalogue_does_not_know_is_refused_in_tests(bus, name, measurements, metadata):
    with pytest.raises(UndeclaredEvent):
        bus.emit(name, "x", measurements, **metadata)


def test_no_event_is_in_the_catalogue_twice():
    names = [event.name for event in events._entries()]
    assert sorted(names) == sorted(set(names))


def test_every_entry_of_the_catalogue_is_documented():
    for event in catalogue().values():
        assert event.doc.endswith("."), event.name
        assert "sender" not in event.metadata


def test_the_default_logger_logs_each_event_and_can_be_detached(bus, caplog):
    caplog.set_level("INFO", "beamlens.telemetry.events")
    attach_default_logger("INFO")
    bus.emit("watcher.think", "logger", thought="hm")
    bus.flush()
    detach_default_logger()
    bus.emit("watcher.think", "logger", thought="not seen")
    bus.flush()
    assert [record.getMessage() for record in caplog.records] == ["[watcher.think] logger thought=hm instance=test"]


@pytest.mark.parametrize("level", ["LOUD", None, True, 1.5])
def test_a_level_that_does_not_exist_is_named(level):
    with pytest.raises(ValueError, match=f"unknown level {level!r}; the levels are: CRITICAL"):
        attach_default_logger(level)
    with pytest.raises(BeamlensError, match="is not attached"):
        detach_default_logger()


def test_the_default_logger_is_attached_once_and_detached_once(bus, caplog):
    attach_default_logger("DEBUG")
    with pytest.raises(BeamlensError, match="attached already"):
        attach_default_logger("INFO")
    detach_default_logger()
    with pytest.raises(BeamlensError, match="is not attached"):
        detach_default_logger()
    assert not signal("watcher.think").receivers


def test_the_default_logger_logs_at_its_level(bus, caplog):
    caplog.set_level("WARNING", "beamlens.telemetry.events")
    attach_default_logger()  # DEBUG, which nobody wants
    bus.emit("watcher.think", "logger", thought="not seen")
    bus.flush()
    detach_default_logger()
    attach_default_logger(logging.WARNING)
    bus.emit("watcher.think", "logger", thought="seen")
    bus.flush()
    detach_default_logger()
    assert [(record.levelname, "thought=seen" in record.getMessage()) for record in caplog.records] == [
        ("WARNING", True)
    ]


def test_after_close_nothing_is_taken():
    bus = Bus("closed")
    receiver = Receiver("watcher.think")
    bus.start()
    bus.close()
    bus.emit("watcher.think", "logger", thought="x")
    assert receiver.got == []
    assert bus.flush()
