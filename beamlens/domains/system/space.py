"""Asks file systems for their free space without ever waiting for one that hangs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from beamlens.domains.system.mounts import Mount
from beamlens_actors import clock
from beamlens_actors.backends.threads import spawn

_PATIENCE = 1.0
_MOST_HUNG = 8


class _Answer(Protocol):
    """What ``os.statvfs`` returns, as far as it is used."""

    @property
    def f_frsize(self) -> int: ...
    @property
    def f_blocks(self) -> int: ...
    @property
    def f_bfree(self) -> int: ...
    @property
    def f_bavail(self) -> int: ...
    @property
    def f_files(self) -> int: ...
    @property
    def f_ffree(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Space:
    """A file system's space.

    Attributes:
        total: Bytes that programs could use in all: without what is reserved for root.
        used: Bytes in use.
        available: Bytes that programs can still get.
        inodes_used_pct: Percent of the inodes; ``None`` where there is no fixed number of them.
    """

    total: int
    used: int
    available: int
    inodes_used_pct: float | None

    @property
    def used_pct(self) -> float:
        """Percent in use, as ``df`` tells it."""
        return round(100 * self.used / self.total, 2) if self.total else 0.0


@dataclass(slots=True)
class _Round:
    """One helper thread's way through some mounts."""

    mounts: Sequence[Mount]
    spaces: dict[str, Space | str] = field(default_factory=dict)
    at: int = 0
    since: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)
    abandoned: bool = False
    pid: int = field(default_factory=os.getpid)


class Spaces:
    """The space of each mount, as of the last answer.

    A thread of its own asks them one after the other and ends. When one does not answer within a second the thread is
    left alone with it, another one asks the rest, and that mount is not asked again until it has answered. At most
    eight mounts may hang; more of them are not asked any more.
    """

    def __init__(self, statvfs: Callable[[str], _Answer] | None = None, patience: float = _PATIENCE) -> None:
        self._statvfs = statvfs or getattr(os, "statvfs", None)
        self._patience = patience
        self._lock = threading.Lock()
        self._round: _Round | None = None
        self._hung: dict[str, float] = {}
        self._known: dict[str, Space | str] = {}

    def ask(self, mounts: Sequence[Mount], *, wait: float = 0.0) -> Mapping[str, Space | str]:
        """Begin to ask anew, unless that goes on already, and tell what is known.

        Args:
            mounts: Which ones.
            wait: Seconds to wait for the answers, at most.

        Returns:
            Path to its space, or to the reason why it is not known. A mount that was not yet asked is missing.
        """
        if self._statvfs is None:
            return {mount.path: "this system does not tell" for mount in mounts}
        with self._lock:
            self._give_up()
            if self._round is None:
                self._begin([mount for mount in mounts if mount.path not in self._hung])
            going = self._round
        if wait > 0 and going is not None:
            going.over.wait(min(wait, self._patience))
        with self._lock:
            self._give_up()
            now = clock.monotonic()
            hung = {path: f"does not answer for {now - since:.0f} s" for path, since in self._hung.items()}
            paths = {mount.path for mount in mounts}
            self._known = {path: known for path, known in self._known.items() if path in paths}
            return {**self._known, **{path: reason for path, reason in hung.items() if path in paths}}

    def hung(self) -> list[str]:
        """Mounts that do not answer."""
        with self._lock:
            self._give_up()
            return sorted(self._hung)

    def _begin(self, mounts: Sequence[Mount]) -> None:
        if self._statvfs is None or not mounts or len(self._hung) >= _MOST_HUNG:
            return
        going = _Round(mounts, since=clock.monotonic())
        try:
            spawn(partial(self._go, going, self._statvfs), "beamlens-statvfs")
        except RuntimeError:  # no more threads
            return
        self._round = going

    def _go(self, going: _Round, statvfs: Callable[[str], _Answer]) -> None:
        for index, mount in enumerate(going.mounts):
            try:
                answer: Space | str = _space(statvfs(mount.path))
            except OSError as error:
                answer = f"{type(error).__name__}: {error.strerror}"
            with self._lock:
                self._known[mount.path] = answer
                self._hung.pop(mount.path, None)
                going.at, going.since = index + 1, clock.monotonic()
                if going.abandoned:
                    break
        with self._lock:
            if self._round is going:
                self._round = None
        going.over.set()

    def _give_up(self) -> None:
        """Leave a thread that has waited for too long, and have another one ask what comes after it."""
        going = self._round
        if going is not None and going.pid != os.getpid():  # forked: its thread is the parent's
            self._round = going = None
        if going is None or going.at == len(going.mounts) or clock.monotonic() - going.since < self._patience:
            return
        going.abandoned = True
        self._round = None
        self._hung[going.mounts[going.at].path] = going.since
        self._begin([mount for mount in going.mounts[going.at + 1 :] if mount.path not in self._hung])


def _space(answer: _Answer) -> Space:
    block = answer.f_frsize
    used = (answer.f_blocks - answer.f_bfree) * block
    available = answer.f_bavail * block
    inodes = None
    if answer.f_files > 0:
        inodes = round(100 * (answer.f_files - answer.f_ffree) / answer.f_files, 2)
    return Space(used + available, used, available, inodes)
