"""Reads along with the host's ``logging``, without a handler of its own.

A handler on the root logger would make the host's later ``basicConfig()`` do nothing, would be removed by
``dictConfig``, would silence ``logging.lastResort``, and would miss loggers with ``propagate=False``. So
``logging.Logger.callHandlers``, through which each record that passed level and filters goes, is wrapped instead.
A logger class that overrides it without calling it is not seen.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import NamedTuple

from beamlens.probes.exceptions import ExceptionText, describe

_MOST_TEXT = 2048
_MOST_PATH = 500


class LogText(NamedTuple):
    """A log record as text and numbers.

    Attributes:
        created: Seconds since the epoch.
        level: Level number.
        logger: Logger's name.
        text: The formatted message, at most 2048 characters.
        file: Path of the source file.
        line: Line of the call.
        function: Function of the call.
        exception: What was logged with it, if anything.
    """

    created: float
    level: int
    logger: str
    text: str
    file: str
    line: int
    function: str
    exception: ExceptionText | None


LogFields = tuple[float, int, str, str, str, int, str, ExceptionText | None]
"""The fields of a `LogText`, as a plain tuple: making one costs a third. ``LogText._make(fields)`` names them."""

Sink = Callable[[LogFields, BaseException | None], object]


class _Busy(threading.local):
    now = False


_sinks: tuple[Sink, ...] = ()
_error_sinks: tuple[Sink, ...] = ()
_change = threading.Lock()
_busy = _Busy()
_original: Callable[[logging.Logger, logging.LogRecord], None] | None = None


def add(sink: Sink, *, with_exception_only: bool = False) -> None:
    """Have each record handed to a sink, on the thread that logs; adding one twice changes nothing.

    A sink must be quick, take no lock, keep nothing but text and numbers, and not raise (what it raises is swallowed).
    Its second argument is the live exception, to recognise it, not to keep.

    Args:
        sink: Is called with the record's fields and its exception.
        with_exception_only: Only for records that carry an exception.
    """
    global _sinks, _error_sinks, _original
    with _change:
        if with_exception_only and sink not in _error_sinks:
            _error_sinks = (*_error_sinks, sink)
        elif not with_exception_only and sink not in _sinks:
            _sinks = (*_sinks, sink)
        if _original is None:
            _original = logging.Logger.callHandlers
            logging.Logger.callHandlers = _make_tap(_original)  # type: ignore[method-assign,assignment]


def remove(sink: Sink) -> None:
    """Undo `add`. The last one puts the method back, unless somebody wrapped it after us: then ours passes through."""
    global _sinks, _error_sinks, _original
    with _change:
        _sinks = tuple(other for other in _sinks if other != sink)
        _error_sinks = tuple(other for other in _error_sinks if other != sink)
        if not installed() and _original is not None and getattr(logging.Logger.callHandlers, "_beamlens", False):
            logging.Logger.callHandlers = _original  # type: ignore[method-assign,assignment]
            _original = None


def installed() -> bool:
    """Whether records are read now."""
    return bool(_sinks or _error_sinks)


def after_fork() -> None:
    """In a forked child: nobody listens here. Takes no lock, since another thread of the parent may have held it."""
    global _sinks, _error_sinks, _change, _original
    _change = threading.Lock()
    _sinks = _error_sinks = ()
    if _original is not None and getattr(logging.Logger.callHandlers, "_beamlens", False):
        logging.Logger.callHandlers = _original  # type: ignore[method-assign,assignment]
        _original = None


def _make_tap(
    original: Callable[[logging.Logger, logging.LogRecord], None],
) -> Callable[[logging.Logger, logging.LogRecord], None]:
    busy = _busy

    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        # One function, since each call costs: this runs at every log call of the host. A __str__ that logs while its
        # record is being formatted comes here again, hence `busy`.
        if record.name[:8] != "beamlens" and not busy.now:
            busy.now = True
            try:
                error = exception = None
                if record.exc_info:
                    error, exception = _exception_of(record)
                sinks = _sinks if error is None else (*_sinks, *_error_sinks)
                if sinks:
                    try:
                        message = record.msg
                        text = message if type(message) is str else str(message)
                        if record.args:
                            text = text % record.args
                    except Exception as failure:  # noqa: BLE001 - a wrong format string, a __str__ that fails
                        text = f"{str(record.msg)[:_MOST_PATH]} [not formatted: {type(failure).__name__}]"
                    fields = (
                        record.created,
                        record.levelno,
                        record.name,
                        text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT],
                        record.pathname,
                        record.lineno,
                        record.funcName or "",
                        exception,
                    )
                    for sink in sinks:
                        try:
                            sink(fields, error)
                        except Exception:  # noqa: BLE001 - one sink's trouble is not the next one's
                            pass
            except Exception:  # noqa: BLE001 - the host's log call must not fail
                pass
            finally:
                busy.now = False
        original(self, record)

    vars(call_handlers)["_beamlens"] = True
    return call_handlers


def _exception_of(record: logging.LogRecord) -> tuple[BaseException | None, ExceptionText | None]:
    info = record.exc_info
    if not info or info[1] is None:
        return None, None
    return info[1], describe(info[1], info[2])
