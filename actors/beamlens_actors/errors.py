# ruff: noqa: N818 - the names are the public API and say what happened
"""Every error this package raises, as a tree.

ActorError
├── ActorDead            (pykka.ActorDeadError)       the actor has ended
├── ActorCrashed                                      it ended by something that is no Exception
├── ActorLimit           (RuntimeError)               too many thread actors
├── BackendUnavailable   (RuntimeError)               a backend does not work here; says why
├── AskTimeout           (pykka.Timeout, TimeoutError)
├── StartTimeout         (TimeoutError)
├── StopTimeout          (pykka.Timeout, TimeoutError)
├── SelfAsk              (RuntimeError)               would wait for itself
├── MailboxFull
├── MailboxClosed                                     between a mailbox and its actor; users see ActorDead
├── MailboxInUse         (RuntimeError)               a second living owner
├── AlreadyRegistered                                 carries the holder
├── Aborted                                           carries the reason
├── StreamFailed                                      carries reason, partial result and cause
│   └── StreamCancelledError
├── ResultTimeout        (TimeoutError)               an event stream is still open
├── InvalidOption        (ValueError)                 names option and value
│   └── UnknownBackend                                names the choices
└── ReplyError                                        raised by handlers to refuse, never seen by askers
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pykka

from beamlens_actors.words import shown, text_of

if TYPE_CHECKING:
    from beamlens_actors.reasons import ExitReason
    from beamlens_actors.ref import ActorRef


class ActorError(Exception):
    """Base of every error of this package."""


class ActorDead(ActorError, pykka.ActorDeadError):
    """A tell or ask to an ended actor, or it ended with the ask still open.

    Attributes:
        reason: why it ended, or `None` when that is not known.
    """

    def __init__(self, message: str, reason: ExitReason | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class ActorCrashed(ActorError):
    """The actor ended by a `SystemExit`, `KeyboardInterrupt` or another error that is no `Exception`.

    Attributes:
        cause: what was raised there.
    """

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"the actor was ended by {shown(cause)}")
        self.cause = cause


class ActorLimit(ActorError, RuntimeError):
    """Starting one more thread actor would exceed the limit of `set_thread_limit`."""


class BackendUnavailable(ActorError, RuntimeError):
    """A backend does not work in this process; the message says why. The others do."""


class AskTimeout(ActorError, pykka.Timeout, TimeoutError):
    """No answer in time. The question may still be handled; its answer is dropped."""


class StartTimeout(ActorError, TimeoutError):
    """`on_start` took longer than `start_timeout`. The actor was killed."""


class StopTimeout(ActorError, pykka.Timeout, TimeoutError):
    """The actor did not end in time. It may still do so."""


class SelfAsk(ActorError, RuntimeError):
    """An actor would wait for itself, or for the one that waits for it to start."""


class MailboxFull(ActorError):
    """The mailbox is at its capacity and the message was not taken, or was dropped for a newer one."""


class MailboxClosed(ActorError):
    """What `Mailbox.put` raises when the actor it was meant for is not its owner (any more)."""


class MailboxInUse(ActorError, RuntimeError):
    """A mailbox was given to a second actor while the first is alive."""


class AlreadyRegistered(ActorError):
    """The key of a unique registry is taken.

    Attributes:
        key: the key.
        holder: the ref that holds it.
    """

    def __init__(self, key: object, holder: ActorRef[Any]) -> None:
        super().__init__(f"{key!r} is registered to {holder}")
        self.key = key
        self.holder = holder


class Aborted(ActorError):
    """An `AbortSignal` was aborted.

    Attributes:
        reason: what was given to `abort`.
    """

    def __init__(self, reason: object = None) -> None:
        super().__init__("aborted" if reason is None else f"aborted: {reason}")
        self.reason = reason


class StreamFailed(ActorError):
    """An event stream has no result: it ended with an error.

    Attributes:
        reason: what was given to `EventStream.error`, or `"task_crashed"`.
        partial: what its producer had by then, or `None`.
        cause: how the attached task ended, when that was the reason and is known.
    """

    def __init__(self, reason: object, partial: Any = None, cause: ExitReason | None = None) -> None:
        super().__init__(f"the stream failed: {reason}" + ("" if cause is None else f" ({shown(cause)})"))
        self.reason = reason
        self.partial = partial
        self.cause = cause


class StreamCancelledError(StreamFailed):
    """An event stream has no result: it was cancelled, for `reason`."""

    def __init__(self, reason: object) -> None:
        super().__init__(reason)
        self.args = (f"the stream was cancelled: {reason}",)


class ResultTimeout(ActorError, TimeoutError):
    """An event stream is still open; a later call may get its result."""


class InvalidOption(ActorError, ValueError):
    """A start option or argument has a value it cannot have."""


class UnknownBackend(InvalidOption):
    """A backend of that name does not exist here."""


class ReplyError(ActorError):
    """Raised in a handler to refuse a question without ending the actor.

    The asker gets `error`. Told instead of asked, nobody gets it and it is logged at debug level.

    Attributes:
        error: the exception for the asker.
    """

    def __init__(self, error: Exception) -> None:
        if not isinstance(error, Exception):
            raise TypeError(f"ReplyError carries an exception for the asker, not {error!r}")
        super().__init__(text_of(error))
        self.error = error
