"""Exceptions that nobody caught: the hooks of the interpreter, chained and put back; and those a framework caught."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any, Literal

Origin = Literal["uncaught", "unraisable", "handled"]
Sink = Callable[[Origin, BaseException, str], object]

_HOOKS: tuple[tuple[ModuleType, str], ...] = (
    (sys, "excepthook"),
    (threading, "excepthook"),
    (sys, "unraisablehook"),
)


class _Busy(threading.local):
    now = False


_sinks: tuple[Sink, ...] = ()
_change = threading.Lock()
_busy = _Busy()
# Ours and what each replaced, in the order of _HOOKS; hooks of an earlier installation only pass through.
_installed: tuple[Callable[..., Any], ...] = ()
_replaced: tuple[Callable[..., Any], ...] = ()


def add(sink: Sink) -> None:
    """Have uncaught, unraisable and `handled` exceptions handed to a sink: origin, exception, thread's name.

    Called on the host's threads; the sink must be quick, take no lock and keep text only. What it raises is swallowed.
    ``SystemExit``, and a ``KeyboardInterrupt`` that ends the program, are somebody's wish and no failure.
    """
    global _sinks
    with _change:
        if sink not in _sinks:
            _sinks = (*_sinks, sink)
        if not _installed:
            _install()


def handled(error: BaseException) -> None:
    """Tell of an exception that a framework caught: for its door. Costs nothing while nobody listens."""
    if _installed:
        _tell(_installed[0], "handled", error, None)


def remove(sink: Sink) -> None:
    """Undo `add`. The last one puts each hook back, unless somebody hooked in after us: then ours passes through."""
    global _sinks
    with _change:
        _sinks = tuple(other for other in _sinks if other != sink)
        if not _sinks:
            _restore()


def after_fork() -> None:
    """In a forked child: nobody listens here. Takes no lock, since another thread of the parent may have held it."""
    global _sinks, _change
    _change = threading.Lock()
    _busy.now = False
    _sinks = ()
    _restore()


def _install() -> None:
    global _installed, _replaced
    _replaced = tuple(getattr(module, name) for module, name in _HOOKS)
    _installed = _make_hooks(*_replaced)
    for (module, name), hook in zip(_HOOKS, _installed, strict=True):
        setattr(module, name, hook)


def _restore() -> None:
    global _installed, _replaced
    for (module, name), hook, before in zip(_HOOKS, _installed, _replaced):  # noqa: B905 - empty: not installed
        # By identity: functools.wraps copies any mark that we could leave on ours to somebody else's.
        if getattr(module, name) is hook:
            setattr(module, name, before)
    _installed = _replaced = ()


def _make_hooks(
    main: Callable[..., Any], thread: Callable[..., Any], unraisable: Callable[..., Any]
) -> tuple[Callable[..., Any], ...]:
    # The host's hook runs whatever happens in ours, hence `finally`. At the end of the interpreter our globals are
    # None, which `tell` survives.
    tell = _tell

    def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        try:
            if not isinstance(error, KeyboardInterrupt):
                tell(excepthook, "uncaught", error, None)
        finally:
            main(kind, error, traceback)

    def thread_excepthook(args: threading.ExceptHookArgs) -> None:
        try:
            if not isinstance(args.exc_value, SystemExit):
                name = args.thread.name if args.thread is not None else ""
                tell(thread_excepthook, "uncaught", args.exc_value, name)
        finally:
            thread(args)

    def unraisablehook(args: sys.UnraisableHookArgs) -> None:
        try:
            tell(unraisablehook, "unraisable", args.exc_value, None)
        finally:
            unraisable(args)

    return excepthook, thread_excepthook, unraisablehook


def _tell(hook: Callable[..., Any], origin: Origin, error: BaseException | None, thread: str | None) -> None:
    try:
        # An exception whose __str__ leaves an unraisable one behind comes here again, hence `busy`.
        if error is None or hook not in _installed or _busy.now:
            return
        _busy.now = True
        try:
            name = thread_name() if thread is None else thread
            for sink in _sinks:
                try:
                    sink(origin, error, name)
                except Exception:  # noqa: BLE001 - one sink's trouble is not the next one's
                    pass
        finally:
            _busy.now = False
    except Exception:  # noqa: BLE001 - a hook of the host's must go on
        pass


def thread_name() -> str:
    """Name of this thread; ``""`` if Python did not start it."""
    # Not current_thread(): for a thread that Python did not start it makes an object, under a lock that the code
    # whose exception this is may hold.
    known: dict[int, threading.Thread] = vars(threading).get("_active", {})
    found = known.get(threading.get_ident())
    return "" if found is None else found.name
