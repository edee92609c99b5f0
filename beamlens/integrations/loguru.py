"""The door for loguru, whose records do not pass through ``logging``: ``init()`` once, where you configure it."""

from __future__ import annotations

from typing import Any

from loguru import logger

from beamlens.probes import logtap
from beamlens.probes.logtap import LogText

_installed: list[int] = []


def init() -> None:
    """Let `logger` and `exception` see what loguru logs, of every level; again changes nothing.

    It is a sink of loguru's: ``logger.remove()`` without arguments takes it out with all others, so call this after it.
    """
    if not _still_there():
        _installed[:] = [logger.add(_hand_in, level=0, format="{message}", catch=True)]


def remove() -> None:
    """Undo `init`."""
    if _still_there():
        logger.remove(_installed[0])
    _installed.clear()


def _still_there() -> bool:
    # Loguru does not say which sinks it has; what was removed by somebody else cannot be removed again.
    return bool(_installed) and _installed[0] in logger._core.handlers  # type: ignore[attr-defined]  # noqa: SLF001


def _hand_in(message: Any) -> None:
    if not logtap.installed():
        return
    record = message.record
    caught = record["exception"]
    logtap.hand_in(
        LogText(
            record["time"].timestamp(),
            record["level"].no,
            record["name"] or "",
            record["message"],
            record["file"].path,
            record["line"],
            record["function"],
            None,
        ),
        None if caught is None else caught.value,
        None if caught is None else caught.traceback,
    )
