"""Exceptions that nobody caught: the hooks of the interpreter, chained and put back."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Literal

Origin = Literal["uncaught", "unraisable"]
Sink = Callable[[Origin, BaseException, str], object]

_sinks: tuple[Sink, ...] = ()
_change = threading.Lock()
_before: dict[str, Any] = {}


def add(sink: Sink) -> None:
    """Have uncaught and unraisable exceptions handed to a sink: origin, exception, thread's name.

    Called on the host's threads; the sink must be quick and keep text only. What it raises is swallowed.
    """
    global _sinks
    with _change:
        if sink not in _sinks:
            _sinks = (*_sinks, sink)
        if not _before:
            _install()


def remove(sink: Sink) -> None:
    """Undo `add`. The last one puts each hook back, unless somebody hooked in after us: then ours passes through."""
    global _sinks
    with _change:
        _sinks = tuple(other for other in _sinks if other != sink)
        if not _sinks:
            _restore()


def after_fork() -> None:
    """In a forked child: nobody listens here."""
    global _sinks, _change
    _change = threading.Lock()
    _sinks = ()
    _restore()


def _install() -> None:
    _before.update(excepthook=sys.excepthook, thread=threading.excepthook, unraisable=sys.unraisablehook)
    previous = dict(_before)

    def excepthook(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
        _tell("uncaught", error, threading.current_thread().name)
        previous["excepthook"](kind, error, traceback)

    def thread_excepthook(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            _tell("uncaught", args.exc_value, args.thread.name if args.thread is not None else "")
        previous["thread"](args)

    def unraisablehook(args: Any) -> None:
        if args.exc_value is not None:
            _tell("unraisable", args.exc_value, threading.current_thread().name)
        previous["unraisable"](args)

    sys.excepthook, threading.excepthook, sys.unraisablehook = excepthook, thread_excepthook, unraisablehook
    for hook in (excepthook, thread_excepthook, unraisablehook):
        vars(hook)["_beamlens"] = True


def _restore() -> None:
    if not _before:
        return
    hooks = {
        "excepthook": (sys, "excepthook"),
        "thread": (threading, "excepthook"),
        "unraisable": (sys, "unraisablehook"),
    }
    for name, (module, attribute) in hooks.items():
        if getattr(getattr(module, attribute), "_beamlens", False):
            setattr(module, attribute, _before[name])
    _before.clear()


def _tell(origin: Origin, error: BaseException, thread: str) -> None:
    for sink in _sinks:
        try:
            sink(origin, error, thread)
        except Exception:  # noqa: BLE001 - a hook of the host's must go on
            pass
