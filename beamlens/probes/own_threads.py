"""Which threads are Beamlens's own: the one place that tells them from the program's."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from beamlens.probes import frames
from beamlens.probes.frames import Frame
from beamlens_actors import is_actor_thread
from beamlens_actors.census import actor_module

_PREFIX = "beamlens"
_WORKER = "beamlens-"
# Runs the actors of everybody who asks for greenlets, so that its frames have to tell.
_HUB = "beamlens-hub"
_MACHINERY = frozenset({"beamlens_actors", "beamlens_supervision", "pykka", "gevent", "greenlet"})
# Doors, taps and hooks run on threads of the host: a door is around all that a request does, and `beamlens run` around
# all that a program does.
_ON_HOST_THREADS = ("beamlens.integrations", "beamlens.probes", "beamlens.domains", "beamlens.cli")


def is_own(ident: int, name: str, stack: Sequence[Frame] = ()) -> bool:
    """Whether a thread belongs to Beamlens.

    An actor or a task of the host's is not ours, although its thread runs our code; nor is a thread of the host's that
    passes a hook or waits in a door.

    Args:
        ident: Python's id of it.
        name: Its name.
        stack: What it runs, innermost first, if that is known: without it a thread of the actor library's is judged
            by its actor, any other one by its name.
    """
    library = is_actor_thread(ident)
    if library and name.startswith(_WORKER) and name != _HUB:
        return True
    if any(_only_ours(frame.module) for frame in stack):
        return True
    if not library:
        return name.startswith(_PREFIX) and all(_is_plain(frame) for frame in stack)
    # What the actor was told to do, beneath all that runs actors and tasks.
    begun = next((frame.module for frame in reversed(stack) if not _is_machinery(frame)), actor_module(ident))
    return begun is None or frames.is_own_module(begun)


def _only_ours(module: str) -> bool:
    return module.partition(".")[0] == "beamlens" and not module.startswith(_ON_HOST_THREADS)


def _is_plain(frame: Frame) -> bool:
    return frames.is_own_module(frame.module) or frames.is_standard_file(frame.file)


def _is_machinery(frame: Frame) -> bool:
    return frame.module.partition(".")[0] in _MACHINERY or frames.is_standard_file(frame.file)


def host_threads() -> list[threading.Thread]:
    """The threads of the program that Python knows, without those that begin in this moment."""
    return [thread for ident, thread in _known().items() if not is_own(ident, thread.name)]


def own_threads() -> list[threading.Thread]:
    """Those of Beamlens."""
    return [thread for ident, thread in _known().items() if is_own(ident, thread.name)]


def _known() -> dict[int, threading.Thread]:
    known: dict[int, threading.Thread] = vars(threading).get("_active", {})
    return known.copy()
