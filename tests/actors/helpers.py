from __future__ import annotations

import threading
from typing import Any

from beamlens_actors import Actor, ExitReason, ReplyError, offload

LIMIT = 10.0
"""Seconds that nothing here should ever take."""


class Refused(Exception):
    """An expected refusal."""


class Recorder(Actor):
    """Obeys instructions and writes down its life in `log`."""

    def __init__(self, log: list[Any] | None = None) -> None:
        super().__init__()
        self.log = [] if log is None else log

    def on_start(self) -> None:
        self.log.append("start")

    def on_receive(self, message: Any) -> Any:
        match message:
            case ("raise", error):
                raise error
            case ("refuse", error):
                raise ReplyError(error)
            case ("wait", entered, event):
                entered.set()
                offload(event.wait, LIMIT)
            case ("stop", *reason):
                self.stop(*reason)
            case ("do", fn):
                return fn(self)
            case "log":
                return list(self.log)
        self.log.append(message)
        return message

    def on_stop(self) -> None:
        self.log.append("on_stop")

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self.log.append(("on_failure", exception_type))

    def on_terminate(self, reason: ExitReason) -> None:
        self.log.append(("terminate", reason))


def busy(ref: Any, gate: threading.Event) -> Any:
    """Have `ref` sit in a handler until `gate` opens; returns the future of that question."""
    entered = threading.Event()
    future = ref.ask(("wait", entered, gate), block=False)
    assert entered.wait(LIMIT)
    return future


def gone(ref: Any) -> None:
    """Wait until nothing of an ended actor runs any more: `join` does not wait for one that was killed while busy."""
    cell = ref._cell
    if cell.backend.name == "threads":
        cell.handle.join(LIMIT)
        assert not cell.handle.is_alive()
        return
    while cell in cell.backend._cells:
        looked = threading.Event()
        cell.backend._hub.call(looked.set)
        assert looked.wait(LIMIT)
