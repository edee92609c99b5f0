"""Threads that are blocked in calls on sockets: which call, on which descriptor, from which line."""

from __future__ import annotations

import platform
import threading
from dataclasses import dataclass
from types import FrameType

from beamlens.probes import frames
from beamlens.probes.descriptors import descriptors_of
from beamlens.probes.frames import Frame
from beamlens.probes.slices import Slices
from beamlens_actors.thread_frames import thread_frames

_MOST_THREADS = 512
_INNERMOST = 4
# What each thread waits in, by the number of its system call, and whether the first argument is the descriptor.
_CALLS: dict[str, dict[int, tuple[str, bool]]] = {
    "x86_64": {
        0: ("read", True), 1: ("write", True), 7: ("poll", False), 23: ("select", False), 42: ("connect", True),
        43: ("accept", True), 44: ("send", True), 45: ("recv", True), 46: ("send", True), 47: ("recv", True),
        270: ("select", False), 271: ("poll", False), 288: ("accept", True),
    },
    "aarch64": {
        63: ("read", True), 64: ("write", True), 72: ("select", False), 73: ("poll", False), 202: ("accept", True),
        203: ("connect", True), 206: ("send", True), 207: ("recv", True), 211: ("send", True), 212: ("recv", True),
        242: ("accept", True),
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Blocked:
    """A thread that waits in a call on a socket.

    Attributes:
        thread: Its name.
        native_id: The operating system's id.
        call: The call; ``poll`` is a call with a timeout.
        number: The descriptor, ``None`` where it is not known.
        place: Line of the program.
    """

    thread: str
    native_id: int | None
    call: str
    number: int | None
    place: Frame | None


def look(sockets: frozenset[int]) -> list[Blocked]:
    """Threads that wait in a call on one of these descriptors; about 20 us a thread, 512 at most.

    Where the system does not tell the call (it is no Linux, or another processor), nothing is found.
    """
    calls = _CALLS.get(platform.machine(), {})
    names = {thread.ident: thread for thread in threading.enumerate()}
    own, slices, found = threading.get_ident(), Slices(), []
    for ident, top in list(thread_frames().items())[:_MOST_THREADS]:
        slices.pause()
        thread = names.get(ident)
        if ident == own or thread is None or thread.native_id is None:
            continue
        call, number = _system_call(thread.native_id, calls)
        if call and number is None:
            number = _socket_in(top, sockets)
        if not call or number not in sockets:
            continue
        place = frames.user_frame(frames.walk(top))
        if place is not None:
            found.append(Blocked(thread.name, thread.native_id, call, number, place))
    return found


def _system_call(native_id: int, calls: dict[int, tuple[str, bool]]) -> tuple[str, int | None]:
    try:
        with open(f"/proc/self/task/{native_id}/syscall", "rb") as file:  # noqa: PTH123 - often, and small
            words = file.read(200).split()
        call, tells = calls.get(int(words[0]), ("", False))
        return call, int(words[1], 16) if tells else None
    except (OSError, ValueError, IndexError):  # running, ended, or not allowed
        return "", None


def _socket_in(frame: FrameType | None, sockets: frozenset[int]) -> int | None:
    """The one socket among the variables of the innermost functions."""
    for _depth in range(_INNERMOST):
        if frame is None:
            return None
        held = {number for value in list(frame.f_locals.values()) for number in descriptors_of(value, 1)} & sockets
        if held:
            return held.pop() if len(held) == 1 else None
        frame = frame.f_back
    return None
