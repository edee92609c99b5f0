"""The door for Celery: ``init()`` in the module of the application, which workers and publishers import."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Any

from celery import signals

from beamlens.probes import inbound, request_context

PUBLISHED = "beamlens_published"
"""Header of a task's message: when it was published, in seconds since the epoch."""
_HELD = "beamlens_request"
_UID = "beamlens.integrations.celery"
_LONGEST = 30 * 86_400.0
_OUTCOMES: dict[str, request_context.Outcome] = {"FAILURE": "error", "RETRY": "retry", "REVOKED": "aborted"}


def init() -> None:
    """Let `requests` see the tasks that workers of this process run; again changes nothing.

    Messages that are published here carry when that was, and the trace of the request that published them. In a
    prefork pool each child watches for itself: start Beamlens in ``worker_process_init``.
    """
    for signal, receiver in _RECEIVERS:
        signal.connect(receiver, weak=False, dispatch_uid=_UID)


def remove() -> None:
    """Undo `init`."""
    for signal, receiver in _RECEIVERS:
        signal.disconnect(receiver, dispatch_uid=_UID)


def _before_publish(headers: dict[str, Any] | None = None, **_named: Any) -> None:
    if headers is None:
        return
    headers[PUBLISHED] = time.time()
    request = request_context.current()
    if request is not None:
        headers.setdefault("traceparent", f"00-{request.trace_id}-{os.urandom(8).hex()}-01")


def _prerun(task: Any = None, **_named: Any) -> None:
    if task is None or not inbound.listening():
        return
    running = task.request
    found = inbound.begin(
        "celery",
        "task",
        task.name,
        traceparent=_text(getattr(running, "traceparent", None)),
        queued=_queued(running),
        resolve=lambda: task.name,
    )
    setattr(running, _HELD, found)


def _postrun(task: Any = None, state: str | None = None, **_named: Any) -> None:
    found = getattr(getattr(task, "request", None), _HELD, None)
    if found is None:
        return
    setattr(task.request, _HELD, None)
    if found.took is None:
        found.outcome = _OUTCOMES.get(state or "", "ok")
    inbound.end(found)


def _failure(sender: Any = None, exception: BaseException | None = None, **_named: Any) -> None:
    if exception is not None:
        inbound.caught(exception, getattr(getattr(sender, "request", None), _HELD, None))


def _retry(sender: Any = None, reason: Any = None, **_named: Any) -> None:
    # The reason is Celery's own Retry, which carries what the task raised, if it did.
    error = getattr(reason, "exc", None)
    if isinstance(error, BaseException):
        inbound.caught(error, getattr(getattr(sender, "request", None), _HELD, None))


def _queued(running: Any) -> float | None:
    """Seconds between when the task was to run at the earliest, and now."""
    published = getattr(running, PUBLISHED, None)
    if not isinstance(published, (int, float)):
        return None
    waited = time.time() - max(published, _earliest(running))
    return max(0.0, waited) if waited < _LONGEST else None


def _earliest(running: Any) -> float:
    eta = getattr(running, "eta", None)
    try:
        return datetime.fromisoformat(eta).timestamp() if eta else 0.0
    except (TypeError, ValueError):
        return 0.0


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


_RECEIVERS = (
    (signals.before_task_publish, _before_publish),
    (signals.task_prerun, _prerun),
    (signals.task_postrun, _postrun),
    (signals.task_failure, _failure),
    (signals.task_retry, _retry),
)
