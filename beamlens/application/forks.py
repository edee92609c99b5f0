"""Which forked children are watched on: the workers of pre-forking servers, and not what a program forks besides."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from beamlens_actors.backends.threads import spawn

if TYPE_CHECKING:
    from types import FrameType

logger = logging.getLogger("beamlens")

AfterFork = Literal["auto", "restart", "stop"]

_SETTLE = 0.3
"""Real seconds after a fork: for all other hooks of the fork, and for children that end or exec at once."""

_CLOSING = 1.0

# Who forks workers: module, and function where others of the module fork what is none.
_WORKERS: dict[str, frozenset[str]] = {
    "gunicorn.arbiter": frozenset({"spawn_worker"}),
    # Not a worker, but the process that goes on in place of the one that was watched.
    "gunicorn.util": frozenset({"daemonize"}),
    "billiard.popen_fork": frozenset(),
    "multiprocessing.popen_fork": frozenset(),
}


def goes_on(mode: AfterFork) -> bool:
    """Whether this child, which was forked just now, is to be watched. Looks at who called ``fork``."""
    if mode != "auto":
        return mode == "restart"
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - there is no other way to see the callers
    while frame is not None:
        functions = _WORKERS.get(frame.f_globals.get("__name__", ""))
        if functions is not None and (not functions or frame.f_code.co_name in functions):
            return True
        frame = frame.f_back
    return False


def restart_soon(restart: Callable[[], object], at_exit: Callable[[], object]) -> None:
    """In a forked child: restart, on a thread of its own.

    Args:
        restart: What to call.
        at_exit: What is to be called at the end of a child that ends without ``atexit``.
    """

    def run() -> None:
        time.sleep(_SETTLE)  # real time: a fake clock of the parent's has nobody here who advances it
        library = patched_by()
        if library:
            logger.warning("this worker is not watched: %s has put its own threads in place of Python's", library)
            return
        _at_end(at_exit)
        restart()

    try:
        spawn(run, "beamlens-after-fork")
    except RuntimeError as error:
        logger.warning("this forked process is not watched: %s", error)


def patched_by() -> str:
    """Who replaced Python's threads in this process, ``""`` for nobody.

    Actors whose threads were greenlets of the host would block all of its requests whenever they wait.
    """
    gevent: Any = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return "gevent"
    eventlet: Any = sys.modules.get("eventlet.patcher")
    return "eventlet" if eventlet is not None and eventlet.is_monkey_patched("thread") else ""


def _at_end(call: Callable[[], object]) -> None:
    """Children of multiprocessing and of Celery end without ``atexit``, each in its own way."""
    finalize = getattr(sys.modules.get("multiprocessing.util"), "Finalize", None)
    if finalize is not None:
        finalize(None, call, exitpriority=0)
    shutdown = getattr(sys.modules.get("celery.signals"), "worker_process_shutdown", None)
    if shutdown is not None:
        shutdown.connect(lambda **_named: call(), weak=False, dispatch_uid="beamlens.at_end")


def close_inherited(close: Callable[[], object]) -> None:
    """Close what the parent's domains still hold here; a lock that a thread of the parent's had stops nobody."""
    spawn(close, "beamlens-inherited").join(_CLOSING)
