"""The instances that run in this process, oldest first; what happens to them at a fork and at exit."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from beamlens.application import forks, imports
from beamlens.errors import AlreadyStarted, NotStarted

if TYPE_CHECKING:
    from beamlens.application.instance import Beamlens

logger = logging.getLogger("beamlens")

EXIT_TIMEOUT = 0.4

_lock = threading.Lock()
_instances: dict[str, Beamlens] = {}
_waiting: list[Beamlens] = []
"""In a forked child: those that are about to be started anew."""
_hooked = False
_before_exit: list[Callable[[], object]] = []


def before_exit(call: Callable[[], object]) -> None:
    """Have something called when this process ends, before its instances are stopped; in forked workers too."""
    _before_exit.append(call)


def add(name: str, instance: Beamlens) -> None:
    """Take a name, before anything is started under it.

    Raises:
        AlreadyStarted: It is taken; carries the holder.
    """
    global _hooked
    _bury(name)
    with _lock:
        if name in _instances:
            raise AlreadyStarted(name, _instances[name])
        _instances[name] = instance
        if not _hooked:
            _hooked = True
            os.register_at_fork(before=imports.wait_for_own, after_in_child=_after_fork)
            atexit.register(_at_exit)


def _bury(name: str) -> None:
    """A supervisor restarts an instance as soon as its root is dead: what is left of it is put away first."""
    with _lock:
        holder = _instances.get(name)
    if holder is not None:
        holder.bury()


def remove(name: str, instance: Beamlens) -> None:
    """Give a name back."""
    with _lock:
        if _instances.get(name) is instance:
            del _instances[name]


def running(name: str | None = None) -> Beamlens:
    """The oldest instance, or the one of a name.

    Raises:
        NotStarted: There is none.
    """
    with _lock:
        if name is None and _instances:
            return next(iter(_instances.values()))
        if name is not None and name in _instances:
            return _instances[name]
        names = ", ".join(_instances)
    if name is None:
        raise NotStarted("no Beamlens instance is running; Beamlens.start(...) starts one")
    raise NotStarted(f"no Beamlens instance named {name!r} is running" + (f"; running: {names}" if names else ""))


def _after_fork() -> None:
    """Threads are not inherited, so what ran here runs no more: no hook may stay that feeds it.

    In a worker of a pre-forking server it is started anew.
    """
    global _lock
    _lock = threading.Lock()
    lost, waiting = list(_instances.values()), list(_waiting)
    _instances.clear()
    _waiting.clear()
    for instance in lost:
        instance.forget()
    # Those that wait were lost in a fork a moment ago: a daemon is forked twice.
    _waiting.extend(one for one in (*lost, *waiting) if forks.goes_on(one.after_fork))
    if _waiting:
        forks.restart_soon(_restart_waiting, _at_exit)


def _restart_waiting() -> None:
    while _waiting:
        instance = _waiting.pop(0)
        try:
            instance.restart()
        except Exception:
            logger.exception("Beamlens %r is not watching this forked process: it could not start", instance.name)


def _at_exit() -> None:
    for call in _before_exit:
        try:
            call()
        except Exception:
            logger.exception("what was to be done before Beamlens stops has failed")
    for instance in list(_instances.values()):
        instance.stop(EXIT_TIMEOUT)
