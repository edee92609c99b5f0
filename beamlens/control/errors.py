"""What can go wrong between two processes, as a tree.

::

    ControlError (BeamlensError)
    ├── ControlUnavailable      this process cannot serve: no safe folder, no Unix sockets; says why
    ├── NoSuchProcess           there is no process of that id
    ├── NotServing              the process, or no process at all, has a control socket
    ├── SeveralInstances        a choice is needed; names the choices
    ├── AccessRefused           it is another user's
    ├── VersionMismatch         both sides speak, but not the same version; names both
    ├── ProtocolError           what came is no message of this protocol
    ├── ConnectionLost          the other side ended, or does not answer
    ├── Busy                    it answers as many as it can; try again
    ├── NotSendable (TypeError) that message cannot be sent to another process
    └── RemoteError             the other side failed; carries the type's name
"""

from __future__ import annotations

from beamlens.errors import BeamlensError


class ControlError(BeamlensError):
    """Base of every error of this package."""


class ControlUnavailable(ControlError):  # noqa: N818 - as the other errors are named
    """This process cannot serve a control socket; the message says why."""


class NoSuchProcess(ControlError):  # noqa: N818
    """There is no process of that id."""


class NotServing(ControlError):  # noqa: N818
    """No control socket was found where one was looked for."""


class SeveralInstances(ControlError):  # noqa: N818
    """More than one would do; the message names them."""


class AccessRefused(ControlError):  # noqa: N818
    """The process belongs to another user."""


class VersionMismatch(ControlError):  # noqa: N818
    """The two sides speak different versions of the protocol; the message names both."""


class ProtocolError(ControlError):
    """What came is no message of this protocol."""


class ConnectionLost(ControlError):  # noqa: N818
    """The other side ended, or does not answer."""


class Busy(ControlError):  # noqa: N818
    """The other side answers as many as it can; try again."""


class NotSendable(ControlError, TypeError):  # noqa: N818
    """That message cannot be sent to another process; the message names those that can."""


class RemoteError(ControlError):
    """The other side failed.

    Attributes:
        kind: The name of the exception's type there.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}" if message else kind)
        self.kind = kind
