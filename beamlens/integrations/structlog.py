"""The door for structlog where it does not log through ``logging``: `processor`, anywhere before the renderer."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any

from beamlens.probes import logtap
from beamlens.probes.logtap import LogText

_OWN_KEYS = frozenset({"event", "level", "logger", "exc_info", "timestamp", "stack_info"})
_MOST_KEYS = 20


def processor(log: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let `logger` and `exception` see an event; it is passed on as it is.

    With ``structlog.stdlib.LoggerFactory`` the records reach ``logging``, and with it Beamlens, without this.
    """
    try:
        if logtap.installed():
            _hand_in(log, method, event)
    except Exception:  # noqa: BLE001 - the host's log call must not fail
        pass
    return event


def _hand_in(log: Any, method: str, event: MutableMapping[str, Any]) -> None:
    level = logging.getLevelNamesMapping().get("ERROR" if method == "exception" else method.upper(), logging.INFO)
    error = _exception(event.get("exc_info"))
    frame = sys._getframe(2)  # noqa: SLF001 - the only quick way to the caller's line
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "structlog":
        frame = frame.f_back
    keys = [key for key in event if key not in _OWN_KEYS][:_MOST_KEYS]
    words = " ".join([str(event.get("event", "")), *(f"{key}={event[key]!r}" for key in keys)])
    name = str(event.get("logger") or getattr(log, "name", "") or frame.f_globals.get("__name__", ""))
    code = frame.f_code
    logtap.hand_in(
        LogText(time.time(), level, name, words, code.co_filename, frame.f_lineno, code.co_name, None), error
    )


def _exception(given: Any) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1] if len(given) == 3 and isinstance(given[1], BaseException) else None
    return sys.exc_info()[1] if given else None
