"""Everything that is wrapped, put in and taken out together.

A library that the host imports later is found by looking into ``sys.modules`` each second. An import hook would hear of
it at once, but it would stand in ``sys.meta_path`` of the host, run inside its imports, and could break them; what is
missed without it are the calls of a library's first second, and of urllib3 not even those: they pass through
http.client.
"""

from __future__ import annotations

import os
import threading

from beamlens.domains.http_client import aiohttp_tap, call, httpx_tap, stdlib, urllib3_tap
from beamlens.domains.http_client.call import Sink
from beamlens.domains.http_client.patching import Patch

_TAPS: dict[str, tuple[Patch, ...]] = {
    "http.client": stdlib.PATCHES,
    "urllib3": urllib3_tap.PATCHES,
    "httpx": httpx_tap.PATCHES,
    "aiohttp": aiohttp_tap.PATCHES,
}
_change = threading.Lock()
_at_fork = False


def add(sink: Sink) -> None:
    """Have all calls told to a sink, from now on."""
    global _at_fork
    with _change:
        if not _at_fork:
            os.register_at_fork(after_in_child=after_fork)
            _at_fork = True
        call.add(sink)
        _look()


def look() -> None:
    """Wrap what was imported meanwhile; some microseconds."""
    with _change:
        if call.listening():
            _look()


def _look() -> None:
    for patches in _TAPS.values():
        for patch in patches:
            patch.install()


def remove(sink: Sink) -> None:
    """Undo `add`; the last one puts every method back."""
    with _change:
        if not call.remove(sink):
            for patches in _TAPS.values():
                for patch in patches:
                    patch.uninstall()


def after_fork() -> None:
    """In a forked child: nobody listens here. Takes no lock, since another thread of the parent may have held it."""
    global _change
    _change = threading.Lock()
    call.after_fork()
    for patches in _TAPS.values():
        for patch in patches:
            patch.uninstall()


def heard() -> list[str]:
    """The libraries that are listened to now."""
    return [name for name, patches in _TAPS.items() if any(patch.installed for patch in patches)]
