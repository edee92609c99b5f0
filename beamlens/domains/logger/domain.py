"""The `logger` domain: what the host logs."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, ClassVar

from beamlens.detect import Sensor, SensorState, Shift
from beamlens.domains import bursts
from beamlens.domains.arguments import clamp, error
from beamlens.domains.domain import Domain, callback
from beamlens.domains.logger.recorder import WINDOW, LogRecorder
from beamlens.domains.logger.store import LogStore
from beamlens.domains.search import compile_pattern, matches
from beamlens.evidence import Evidence, Place
from beamlens.metrics import Metric
from beamlens.probes.logtap import LogText
from beamlens_supervision import ChildSpec

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_BURST_WINDOW = 20.0
_MOST_SITES = 10
_FEW_RAISED = 0.25


class LoggerDomain(Domain):
    """The log records of this process, as its ``logging`` lets them through; ours are left out.

    The last 1000 records are kept, at most 2048 characters each, and the last 500 errors beside them. Counts are exact
    over the last minute even when more passed than are kept. CRITICAL counts as error. Texts come from the program
    and its users: never trust them.
    """

    name: ClassVar[str] = "logger"
    title: ClassVar[str] = "Application logs"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("total_count_1m", "records", description="in the last minute", direction="none"),
        Metric(
            "error_count_1m", "records", description="ERROR and CRITICAL in the last minute", direction="up", matters=10
        ),
        Metric("warning_count_1m", "records", description="WARNING in the last minute", direction="up", matters=30),
        Metric(
            "error_rate_pct",
            "%",
            description="errors among the records of the last minute",
            direction="up",
            matters=10,
            of="total_count_1m",
        ),
        Metric(
            "unique_error_modules",
            "loggers",
            description="loggers with an error in the last minute",
            direction="up",
            matters=3,
        ),
        Metric("records_held", "records", description="records that can be read", direction="none"),
        Metric("ring_size", "records", description="the most records that are held"),
        Metric(
            "dropped",
            "records",
            description="pushed out of the ring by newer ones since recording began",
            kind="counter",
            direction="none",
        ),
    )
    sensors: ClassVar[tuple[Sensor, ...]] = (
        Sensor(
            "error_burst",
            "errors_per_s",
            lambda: Shift(least=2.5, ratio=3.0, recent=5, unit="errors/s", what="the rate of error records"),
        ),
    )

    def __init__(self) -> None:
        self.recorder = LogRecorder()

    def children(self) -> Sequence[ChildSpec]:
        """The LogStore."""
        return [ChildSpec("LogStore", LogStore.options(name="LogStore").start, (self.recorder,), shutdown=1.0)]

    def close(self) -> None:
        """Stop recording, should the LogStore not have done so."""
        self.recorder.uninstall()

    def snapshot(self) -> dict[str, Any]:
        """All metrics; about 0.1 ms."""
        total, errors, warnings = _sum_up(self.recorder.counts(WINDOW))
        data: dict[str, Any] = {
            "total_count_1m": total,
            "error_count_1m": errors,
            "warning_count_1m": warnings,
            "error_rate_pct": round(100 * errors / total, 2) if total else 0.0,
            "unique_error_modules": self.recorder.error_loggers(),
            "records_held": self.recorder.held(),
            "ring_size": self.recorder.ring_size,
            "dropped": self.recorder.dropped(),
        }
        if self.recorder.since is None:
            data = dict.fromkeys(data)
            data["_unavailable"] = dict.fromkeys(list(data), "no LogStore runs: nothing is recorded")
        return data

    def sense(self) -> Mapping[str, float | None]:
        """Errors, warnings and records a second, over the last two whole seconds."""
        total, errors, warnings = _sum_up(self.recorder.counts(2, whole=True))
        return {"errors_per_s": errors / 2, "warnings_per_s": warnings / 2, "records_per_s": total / 2}

    def evidence(self, _sensor: SensorState, /) -> Sequence[Evidence]:
        """Group the errors of the last 20 seconds, or of as many as are held, by place and kind."""
        span = self.recorder.errors_span(_BURST_WINDOW)
        failures = [_failure(record) for record in self.recorder.errors(span)]
        raised = sum(failure.exception is not None for failure in failures)
        if raised < _FEW_RAISED * len(failures):
            # Records with an exception speak for the others where layers log one failure several times, not when they
            # are a few among many of something else.
            failures = [dataclasses.replace(failure, exception=None) for failure in failures]
        return bursts.explain(failures, span, "error records")

    def excerpt(self, limit: int = 5) -> list[str]:
        """The latest warnings and errors."""
        notable = [record for record in self.recorder.records() if record.level >= logging.WARNING]
        shown = notable if len(notable) >= limit else self.recorder.errors()
        return [f"{logging.getLevelName(r.level)} {r.logger}: {r.text[:200]}" for r in shown[:limit]]

    @callback
    def stats(self) -> dict[str, Any]:
        """Counts of the last minute: total, errors, warnings, error_rate_pct, by_level.

        Beside them top_sites: the ten lines that logged most warnings and errors since recording began.
        """
        snapshot = self.snapshot()
        return {
            "total": snapshot["total_count_1m"],
            "errors": snapshot["error_count_1m"],
            "warnings": snapshot["warning_count_1m"],
            "error_rate_pct": snapshot["error_rate_pct"],
            "by_level": {logging.getLevelName(level): n for level, n in self.recorder.counts(WINDOW).items()},
            "top_sites": [
                {
                    "at": f"{site.file}:{site.line}",
                    "logger": site.logger,
                    "level": logging.getLevelName(site.level),
                    "count": site.count,
                    "latest": _time(site.latest),
                }
                for site in self.recorder.sites()[:_MOST_SITES]
            ],
        }

    @callback
    def recent(self, limit: int = 10, level: str = "") -> Any:
        """The latest records, newest first; level (DEBUG, INFO, WARNING, ERROR, CRITICAL) keeps only its own."""
        if not level:
            return self._view(self.recorder.records(), limit)
        number = logging.getLevelNamesMapping().get(level.upper())
        if number is None:
            return error("bad_argument", f"level={level!r}; the choices are: {', '.join(_LEVELS)}")
        held = self.recorder.errors() if number >= logging.ERROR else self.recorder.records()
        return self._view((record for record in held if record.level == number), limit)

    @callback
    def errors(self, limit: int = 10) -> Any:
        """The latest ERROR and CRITICAL records, newest first."""
        return self._view(self.recorder.errors(), limit)

    @callback
    def search(self, pattern: str, limit: int = 10) -> Any:
        """Records whose text matches a regular expression (no nested repeats), newest first."""
        compiled = compile_pattern(pattern)
        if isinstance(compiled, dict):
            return compiled
        return self._view((r for r in self.recorder.records() if matches(compiled, r.text)), limit)

    @callback
    def by_module(self, module_name: str, limit: int = 10) -> Any:
        """Records of loggers whose name contains module_name, newest first."""
        return self._view((r for r in self.recorder.records() if module_name in r.logger), limit)

    def _view(self, records: Iterable[LogText], limit: int) -> list[dict[str, Any]]:
        return [
            {
                "time": _time(record.created),
                "level": logging.getLevelName(record.level),
                "logger": record.logger,
                "text": record.text,
                "at": f"{record.file}:{record.line} {record.function}",
                "exception": None if record.exception is None else record.exception.type,
                "route": record.route or None,
                "trace_id": record.trace_id or None,
            }
            for record in islice(records, clamp(limit))
        ]


def _failure(record: LogText) -> bursts.Failure:
    place = record.exception.place if record.exception is not None else None
    if place is None and record.file and record.line > 0:
        place = Place(file=record.file, line=record.line, function=record.function)
    return bursts.Failure(record.text, place, record.exception, record.route)


def _sum_up(counts: Mapping[int, int]) -> tuple[int, int, int]:
    """All, errors and warnings; CRITICAL counts as error."""
    errors = sum(count for level, count in counts.items() if level >= logging.ERROR)
    warnings = sum(count for level, count in counts.items() if logging.WARNING <= level < logging.ERROR)
    return sum(counts.values()), errors, warnings


def _time(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ArithmeticError, OSError, TypeError, ValueError):
        return None  # a record that the host made by hand
