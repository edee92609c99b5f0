"""Beamlens from outside the process: a control socket, and what reaches it.

::

    from beamlens import control, status

    with control.connect(pid=4711) as lens:
        print(lens.registry.lookup("runtime").ask(status, timeout=5.0))
"""

from beamlens.control.errors import (
    AccessRefused,
    Busy,
    ConnectionLost,
    ControlError,
    ControlUnavailable,
    NoSuchProcess,
    NotSendable,
    NotServing,
    ProtocolError,
    RemoteError,
    SeveralInstances,
    VersionMismatch,
)
from beamlens.control.finding import Found, find
from beamlens.control.remote import RemoteInstance, RemoteRef, RemoteRegistry, connect

__all__ = [
    "AccessRefused",
    "Busy",
    "ConnectionLost",
    "ControlError",
    "ControlUnavailable",
    "Found",
    "NoSuchProcess",
    "NotSendable",
    "NotServing",
    "ProtocolError",
    "RemoteError",
    "RemoteInstance",
    "RemoteRef",
    "RemoteRegistry",
    "SeveralInstances",
    "VersionMismatch",
    "connect",
    "find",
]
