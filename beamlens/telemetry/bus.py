"""One instance's way to its receivers: in order, isolated from each other, never on a thread of the host."""

from __future__ import annotations

import logging
import queue
import threading
import weakref
from collections.abc import Callable, Mapping
from inspect import iscoroutine
from typing import Any

import blinker

from beamlens.telemetry import events
from beamlens.telemetry import run as runs
from beamlens_actors import clock
from beamlens_actors.backends.threads import spawn

logger = logging.getLogger("beamlens.telemetry")

PREFIX = "beamlens."
SLOW_SECONDS = 0.1
_REPORT_SLOW_EVERY = 60.0
_MOST_REMEMBERED = 256

checking = False
"""Whether each emission is compared with the catalogue; on in the tests."""

Listener = Callable[[str, str, Mapping[str, Any], Mapping[str, Any]], object]


def signal(name: str) -> blinker.Signal:
    """The blinker signal of an event, ``beamlens.<name>``; connect receivers to it."""
    return blinker.signal(PREFIX + name)


class Bus:
    """Delivers the events of one instance.

    A run's events are delivered on its task thread, all others by one emitter thread, through a bounded queue.
    """

    def __init__(self, instance: str, *, capacity: int = 10_000) -> None:
        """Make a bus; it delivers from `start` to `close`.

        Args:
            instance: The instance's name, part of every event.
            capacity: Most events that wait for the emitter thread; one more is dropped and counted.
        """
        self.instance = instance
        self.dropped = 0
        self._capacity = capacity
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._open = False
        self._emitter: int | None = None
        self._listeners: list[Listener] = []
        self._runs: weakref.WeakSet[runs.Run] = weakref.WeakSet()
        self._slow_reported: dict[str, float] = {}
        self._told_dropped = 0

    def start(self) -> None:
        """Start the emitter thread."""
        self._open = True
        spawn(self._emit_all, f"{self.instance}-telemetry")

    def close(self, timeout: float = 1.0) -> None:
        """Deliver what waits, at most `timeout` seconds long, and take no more."""
        if not self._open:
            return
        self.flush(timeout)
        self._open = False
        self._queue.put(None)

    def forget(self) -> None:
        """In a forked child: the emitter thread is not here; take no more."""
        self._open = False

    def listen(self, listener: Listener) -> None:
        """Add a part that hears every event before the receivers do: name, sender, measurements, metadata."""
        self._listeners.append(listener)

    def begin(self, trace_id: str | None = None) -> runs.Run:
        """Begin a run on this thread; make it current with ``telemetry.run.current``."""
        begun = runs.Run(trace_id)
        self._runs.add(begun)
        return begun

    def emit(self, name: str, sender: str, measurements: Mapping[str, Any] | None = None, /, **metadata: Any) -> None:
        """Emit an event of the catalogue. Any thread; never blocks outside a run.

        Args:
            name: The event's name in the catalogue.
            sender: The component's name.
            measurements: Its numbers; ``system_time`` is added.
            metadata: Its metadata; ``instance`` and, in a run, ``trace_id`` are added.
        """
        if not self._open:
            return
        run = runs.current.get()
        if not (self._listeners or checking or signal(name).receivers):
            if run is not None and run.here():
                run.deliver()
            return
        numbers = {"system_time": clock.time(), **(measurements or {})}
        metadata["instance"] = self.instance
        if run is not None:
            metadata.setdefault("trace_id", run.trace_id)
        if checking:
            events.check(name, numbers, metadata)
        if run is not None and run.here():
            run.deliver()
            self._deliver(name, sender, numbers, metadata)
        elif run is None or not run.add(lambda: self._deliver(name, sender, numbers, metadata)):
            self._enqueue(lambda: self._deliver(name, sender, numbers, metadata))

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Wait until what has happened was delivered; False when `timeout` seconds passed first.

        Raises:
            RuntimeError: Called by a receiver, which would wait for itself.
        """
        if not self._open:
            return True
        if threading.get_ident() == self._emitter or ((run := runs.current.get()) is not None and run.here()):
            raise RuntimeError("flush() waits for the receivers, so a receiver cannot call it")
        deadline = None if timeout is None else clock.monotonic() + timeout
        for waiting in list(self._runs):
            waiting.wait_delivered(lambda c, p: clock.wait_until(c, p, clock.remaining(deadline)))
        reached = threading.Event()
        self._queue.put(reached.set)
        return clock.wait(reached, clock.remaining(deadline))

    def _enqueue(self, deliver: Callable[[], None]) -> None:
        if self._queue.qsize() >= self._capacity:
            self.dropped += 1
        else:
            self._queue.put(deliver)

    def _emit_all(self) -> None:
        self._emitter = threading.get_ident()
        while (deliver := self._queue.get()) is not None:
            deliver()
            if self.dropped > self._told_dropped and self._queue.empty():
                count, self._told_dropped = self.dropped - self._told_dropped, self.dropped
                self.emit("telemetry.dropped", "telemetry", {"count": count})

    def _deliver(self, name: str, sender: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        for listener in list(self._listeners):
            try:
                listener(name, sender, measurements, metadata)
            except Exception:
                logger.exception("a listener of %s failed", name)
        event_signal = signal(name)
        if not event_signal.receivers or event_signal.is_muted:
            return
        for receiver in list(event_signal.receivers_for(sender)):
            self._call(receiver, name, sender, measurements, metadata)

    def _call(
        self,
        receiver: Callable[..., Any],
        name: str,
        sender: str,
        measurements: Mapping[str, Any],
        metadata: Mapping[str, Any],
    ) -> None:
        began = clock.monotonic()
        try:
            answer = receiver(sender, measurements=dict(measurements), **metadata)
            if iscoroutine(answer):
                answer.close()
                raise TypeError(  # noqa: TRY301 - reported like any failure
                    "it is a coroutine function; receivers are called, not awaited"
                )
        except BaseException as error:  # noqa: BLE001 - the user's code must not end an agent
            self._report_failure(receiver, name, error)
        took = clock.monotonic() - began
        if took >= SLOW_SECONDS:
            self._report_slow(receiver, name, took)

    def _report_failure(self, receiver: Callable[..., Any], name: str, error: BaseException) -> None:
        where = _name_of(receiver)
        logger.error("receiver %s of %s failed: %r", where, name, error)
        if not name.startswith("telemetry."):
            self.emit("telemetry.receiver_failed", "telemetry", event=name, receiver=where, reason=repr(error))

    def _report_slow(self, receiver: Callable[..., Any], name: str, took: float) -> None:
        where = _name_of(receiver)
        now = clock.monotonic()
        if name.startswith("telemetry.") or now < self._slow_reported.get(where, float("-inf")) + _REPORT_SLOW_EVERY:
            return
        if len(self._slow_reported) >= _MOST_REMEMBERED:
            self._slow_reported.clear()
        self._slow_reported[where] = now
        logger.warning("receiver %s of %s took %.3f s", where, name, took)
        self.emit("telemetry.slow_receiver", "telemetry", {"duration": took}, event=name, receiver=where)


def _name_of(receiver: Callable[..., Any]) -> str:
    module = getattr(receiver, "__module__", None)
    name = getattr(receiver, "__qualname__", None) or repr(receiver)
    return f"{module}.{name}" if module else str(name)
