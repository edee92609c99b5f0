"""Reads along with the host's ``logging``, without a handler of its own.

A handler on the root logger would make the host's later ``basicConfig()`` do nothing, would be removed by
``dictConfig``, would silence ``logging.lastResort``, and would miss loggers with ``propagate=False``. So
``logging.Logger.callHandlers``, through which each record that passed level and filters goes, is wrapped instead.

Not seen are: loggers whose class overrides ``callHandlers`` (or ``handle``) without calling the inherited one, what is
logged inside the formatting of another record (a ``__str__`` that logs), and our own loggers, ``beamlens*``.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from threading import get_ident
from types import TracebackType
from typing import Any, NamedTuple

from beamlens.probes import hooks, request_context
from beamlens.probes.exceptions import ExceptionText, describe

_MOST_TEXT = 2048
_MOST_BROKEN = 500
_MOST_LOGGERS = 1000
_MOST_ARGUMENT, _MOST_ARGUMENTS = 200, 10
# Beside text: to make text of one of these runs no code but Python's, now or later.
_PLAIN = frozenset({int, float, bool, type(None)})


class LogText(NamedTuple):
    """A log record as text and numbers.

    Attributes:
        created: Seconds since the epoch, as the record says.
        level: Level number.
        logger: Logger's name.
        text: The formatted message, at most 2048 characters.
        file: Path of the source file.
        line: Line of the call.
        function: Function of the call.
        exception: What was logged with it, if anything.
        route: Route of the request that it belongs to, such as ``POST /orders``; ``""`` without one.
        trace_id: Trace id of that request.
    """

    created: float
    level: int
    logger: str
    text: str
    file: str
    line: int
    function: str
    exception: ExceptionText | None
    route: str = ""
    trace_id: str = ""


Unformatted = tuple[str, tuple[str | float | bool | None, ...]]
"""A message and its arguments: short texts, numbers, and the like, of which later will be made what would be now."""
LogFields = tuple[float, int, str, str | Unformatted, str, int, str, ExceptionText | None, str, str]
"""The fields of a `LogText`, as a plain tuple: making one costs a third. `log_text` makes that of them."""

Sink = Callable[[LogFields], object]
ErrorSink = Callable[[BaseException, ExceptionText, int, str, str, str], object]
"""Exception, what is kept of it, level number, thread's name, route and trace id of the request."""
CallHandlers = Callable[[logging.Logger, logging.LogRecord], None]


_sinks: tuple[Sink, ...] = ()
_error_sinks: tuple[ErrorSink, ...] = ()
_change = threading.Lock()
# Threads in which an object of the host is made text of just now: if that logs, it comes here again. Not a
# `threading.local`, since most log calls need not ask who they are: nobody is in here.
_inside: set[int] = set()
# Names of loggers that are not ours: to find one here takes a third of what comparing its beginning takes.
_hosts_loggers: dict[str, None] = {}
_lost: itertools.count[int] = itertools.count()
# The tap that works and what it wraps. A tap that is buried under somebody's wrapper is dead: it only passes through.
_tap: CallHandlers | None = None
_original: CallHandlers | None = None


def log_text(fields: LogFields) -> LogText:
    """The record, its message formatted, which its host did not wait for."""
    text = fields[3]
    rest: Any = fields[4:]  # as many as there are: the last two have defaults
    if type(text) is not str:
        try:
            text = (text[0] % text[1])[:_MOST_TEXT]
        except Exception as failure:  # noqa: BLE001 - the host's format string is wrong
            text = _not_formatted(text[0], failure)
    return LogText(*fields[:3], text, *rest)


def add(sink: Sink) -> None:
    """Have each record handed to a sink, on the thread that logs; adding one twice changes nothing.

    A sink must be quick, take no lock, keep nothing but what it is given, and not raise (what it raises is swallowed
    and counted by `lost`).

    Args:
        sink: Is called with the record's fields.
    """
    global _sinks
    with _change:
        if sink not in _sinks:
            _sinks = (*_sinks, sink)
        _put_in()


def add_error_sink(sink: ErrorSink) -> None:
    """Have the exception of each record that carries one handed to a sink, as `add`.

    Where no other sink listens, the record itself is not read, nor its message formatted: that is most of the cost.

    Args:
        sink: Is called with the live exception, to recognise it, not to keep, and with what is kept of it.
    """
    global _error_sinks
    with _change:
        if sink not in _error_sinks:
            _error_sinks = (*_error_sinks, sink)
        _put_in()


def remove(sink: Sink | ErrorSink) -> None:
    """Undo either. The last one puts the method back, unless somebody wrapped it after us: then ours passes through."""
    global _sinks, _error_sinks
    with _change:
        _sinks = tuple(other for other in _sinks if other != sink)
        _error_sinks = tuple(other for other in _error_sinks if other != sink)
        if not installed():
            _take_out()


def installed() -> bool:
    """Whether records are read now."""
    return bool(_sinks or _error_sinks)


def lost() -> int:
    """How many times reading a record, or handing it to one sink, failed since this process began; should be 0."""
    return int(repr(_lost)[6:-1])  # the next number of a count() is how many were taken


def hand_in(record: LogText, error: BaseException | None = None, traceback: TracebackType | None = None) -> None:
    """Read a record of another logging library, on the thread that logs; raises nothing.

    Args:
        record: The record, without exception, route and trace.
        error: What was logged with it.
        traceback: Where that was raised; by default its own.
    """
    if get_ident() in _inside or not installed() or record.logger.startswith("beamlens"):
        return
    _inside.add(get_ident())
    try:
        text = None if error is None else describe(error, traceback)
        route, trace_id = request_context.labels()
        fields = (*record[:3], record.text[:_MOST_TEXT], *record[4:7], text, route, trace_id)
    except Exception:  # noqa: BLE001 - the host's log call must not fail
        next(_lost)
        return
    finally:
        _inside.discard(get_ident())
    for sink in _sinks:
        try:
            sink(fields)
        except Exception:  # noqa: BLE001 - one sink's trouble is not the next one's
            next(_lost)
    if error is not None and text is not None and _error_sinks:
        _tell(error, text, record.level, hooks.thread_name(), route, trace_id)


def _tell(*told: Any) -> None:
    for sink in _error_sinks:
        try:
            sink(*told)
        except Exception:  # noqa: BLE001
            next(_lost)


def after_fork() -> None:
    """In a forked child: nobody listens here. Takes no lock, since another thread of the parent may have held it."""
    global _sinks, _error_sinks, _change
    _change = threading.Lock()
    _inside.clear()
    _sinks = _error_sinks = ()
    _take_out()


def _put_in() -> None:
    global _original, _tap
    current = logging.Logger.callHandlers
    # Compared by identity: functools.wraps and proxies copy or forward any mark that we could leave on ours.
    if current is not _tap:
        _original = current
        _tap = _make_tap(current)
        logging.Logger.callHandlers = _tap  # type: ignore[method-assign,assignment]


def _take_out() -> None:
    global _original, _tap
    if _tap is not None and _original is not None and logging.Logger.callHandlers is _tap:
        logging.Logger.callHandlers = _original  # type: ignore[method-assign,assignment]
    _tap = _original = None


def _make_tap(original: CallHandlers) -> CallHandlers:  # noqa: C901
    inside, failed, plain_record, request_of = _inside, _lost, logging.LogRecord, request_context.VARIABLE.get
    hosts = _hosts_loggers
    is_hosts, plain, me = _is_hosts, _PLAIN, get_ident

    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:  # noqa: C901, PLR0912
        # One function, since each call costs: this runs at every log call of the host. When the interpreter ends,
        # globals become None: then `_tap` is another one.
        if _tap is call_handlers and (not inside or me() not in inside):
            try:
                name = record.name
                if type(name) is not str:
                    name = str(name)
                if name in hosts or is_hosts(name):
                    sinks = _sinks
                    error = exception = None
                    if record.exc_info:
                        error, exception = _exception_of(record)
                    if sinks or exception is not None:
                        request = request_of()
                        if request is None or request.over:
                            route = trace_id = ""
                        else:
                            route, trace_id = request.route, request.trace_id
                        if sinks:
                            text: Any = record.msg
                            if type(text) is not str or type(record) is not plain_record:
                                text = _text_of(record)
                            elif len(text) > _MOST_TEXT:
                                text = _text_of(record) if record.args else text[:_MOST_TEXT]
                            elif record.args:
                                args: Any = record.args
                                later = type(args) is tuple and len(args) <= _MOST_ARGUMENTS
                                if later:
                                    for arg in args:
                                        kind = type(arg)
                                        if kind not in plain and (kind is not str or len(arg) > _MOST_ARGUMENT):
                                            later = False
                                            break
                                # Else the host's code runs now, or more text would be kept than of one record is.
                                text = (text, args) if later else _text_of(record)
                            fields = (
                                record.created,
                                record.levelno,
                                name,
                                text,
                                record.pathname,
                                record.lineno,
                                record.funcName or "",
                                exception,
                                route,
                                trace_id,
                            )
                            for sink in sinks:
                                try:
                                    sink(fields)
                                except Exception:  # noqa: BLE001 - one sink's trouble is not the next one's
                                    next(failed)
                        if exception is not None and error is not None:
                            thread = record.threadName
                            thread = thread if type(thread) is str else ""
                            for told in _error_sinks:
                                try:
                                    told(error, exception, record.levelno, thread, route, trace_id)
                                except Exception:  # noqa: BLE001
                                    next(failed)
            except Exception:  # noqa: BLE001 - the host's log call must not fail
                next(failed)
        original(self, record)

    return call_handlers


def _is_hosts(name: str) -> bool:
    if name.startswith("beamlens"):
        return False
    if len(_hosts_loggers) >= _MOST_LOGGERS:  # a host that makes names without end
        _hosts_loggers.clear()
    _hosts_loggers[name] = None
    return True


def _text_of(record: logging.LogRecord) -> str:
    """What a record says that is not plain: its class may format otherwise, its arguments run the host's code."""
    _inside.add(get_ident())
    try:
        # str.__str__: a __str__ may answer with an object of a subclass, which is not to be kept.
        return str.__str__(record.getMessage())[:_MOST_TEXT]
    except Exception as wrong:  # noqa: BLE001 - the user's code
        return _not_formatted(record.msg, wrong)
    finally:
        _inside.discard(get_ident())


def _not_formatted(message: object, failure: Exception) -> str:
    shown = str.__str__(message)[:_MOST_BROKEN] if isinstance(message, str) else f"<{type(message).__name__}>"
    return f"{shown} [not formatted: {type(failure).__name__}]"


def _exception_of(record: logging.LogRecord) -> tuple[BaseException | None, ExceptionText | None]:
    # exc_info is whatever the host put there: True too, when a record was made by hand.
    info = record.exc_info
    if type(info) is not tuple or len(info) != 3 or not isinstance(info[1], BaseException):
        return None, None
    _inside.add(get_ident())
    try:
        return info[1], describe(info[1], info[2])
    except Exception:  # noqa: BLE001 - a strange exception class; the record itself still counts
        next(_lost)
        return None, None
    finally:
        _inside.discard(get_ident())
