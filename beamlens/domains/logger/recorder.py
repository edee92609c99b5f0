"""The ring of log records, and exact counts by window although the ring is smaller than the traffic."""

from __future__ import annotations

import logging
from collections import deque

from beamlens.probes import logtap
from beamlens.probes.logtap import LogFields, LogText
from beamlens.probes.rates import Rates
from beamlens_actors import clock

RING = 1000
WINDOW = 60
_MOST_LOGGERS = 500

TOTAL, ERRORS, WARNINGS = "total", "errors", "warnings"
_WARNING, _ERROR = logging.WARNING, logging.ERROR


class LogRecorder:
    """Records the host's log records; its sink runs on the threads that log and takes no lock."""

    def __init__(self, ring: int = RING) -> None:
        self.rates = Rates()
        self._ring: deque[LogFields] = deque(maxlen=ring)
        self._error_loggers: dict[str, float] = {}
        self.since: float | None = None

    def install(self) -> None:
        """Begin to record."""
        if self.since is None:
            self.since = clock.time()
        logtap.add(self.record)

    def uninstall(self) -> None:
        """Stop recording; what was recorded stays."""
        logtap.remove(self.record)
        self.since = None

    def record(self, fields: LogFields, _error: BaseException | None = None) -> None:
        """Take one record."""
        self._ring.append(fields)
        created, level = fields[0], fields[1]
        self.rates.add(TOTAL, created)
        if level < _WARNING:
            return
        if level >= _ERROR:
            self.rates.add(ERRORS, created)
            if fields[2] in self._error_loggers or len(self._error_loggers) < _MOST_LOGGERS:
                self._error_loggers[fields[2]] = created
        else:
            self.rates.add(WARNINGS, created)

    def records(self) -> list[LogText]:
        """The ring, newest first."""
        return [LogText._make(fields) for fields in reversed(self._ring.copy())]

    def held(self) -> int:
        """Records in the ring."""
        return len(self._ring)

    def error_loggers(self, seconds: float = WINDOW) -> int:
        """Loggers with an error in the window."""
        oldest = clock.time() - seconds
        return sum(1 for at in list(self._error_loggers.values()) if at > oldest)
