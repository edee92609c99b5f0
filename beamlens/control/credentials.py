"""Who is at the other end of a Unix socket, as the kernel knows it."""

from __future__ import annotations

import os
import socket
import struct

_CREDENTIALS = struct.Struct("3i")


def peer_uid(sock: socket.socket) -> int | None:
    """The other end's user; ``None`` where the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    try:
        _pid, uid, _gid = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    except OSError:
        return -1  # it is gone, or no Unix socket: nobody's
    return int(uid)


def may_ask(uid: int | None) -> bool:
    """Whether a user may ask this process: its own, or root. Where nobody tells, the folder's mode has decided."""
    return uid is None or uid in (os.geteuid(), 0)
