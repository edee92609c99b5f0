"""Actors on Pykka: processes and messages as in Erlang/OTP, usable alone."""

from beamlens_actors.abort import AbortSignal
from beamlens_actors.actor import Actor
from beamlens_actors.backends import offload, set_default_backend
from beamlens_actors.backends.threads import abandoned, is_actor_thread, set_thread_limit
from beamlens_actors.backends.watchdog import set_max_blocking_time
from beamlens_actors.census import Ties, backlog, living_actors, thread_of, ties, waiting_messages
from beamlens_actors.context import current_actor
from beamlens_actors.errors import (
    Aborted,
    ActorCrashed,
    ActorDead,
    ActorError,
    ActorLimit,
    AlreadyRegistered,
    AskTimeout,
    BackendUnavailable,
    InvalidOption,
    MailboxClosed,
    MailboxFull,
    MailboxInUse,
    ReplyError,
    ResultTimeout,
    SelfAsk,
    StartTimeout,
    StopTimeout,
    StreamCancelledError,
    StreamFailed,
    UnknownBackend,
)
from beamlens_actors.future import Future
from beamlens_actors.mailbox import Mailbox, MailboxStats, QueueMailbox, Waker
from beamlens_actors.messages import Down, Envelope, Exit, Monitor
from beamlens_actors.reasons import Crash, ExitReason, Killed, NoProcess, Normal, Shutdown
from beamlens_actors.ref import ActorRef
from beamlens_actors.registry import Entry, Registry, RegistryEvent
from beamlens_actors.stream import EventStream
from beamlens_actors.stream_events import (
    PushResult,
    StreamCancelled,
    StreamEnd,
    StreamError,
    StreamStats,
    StreamTerminal,
)
from beamlens_actors.stream_tasks import StreamTask
from beamlens_actors.timers import Timer, send_after

__all__ = [
    "AbortSignal",
    "Aborted",
    "Actor",
    "ActorCrashed",
    "ActorDead",
    "ActorError",
    "ActorLimit",
    "ActorRef",
    "AlreadyRegistered",
    "AskTimeout",
    "BackendUnavailable",
    "Crash",
    "Down",
    "Entry",
    "Envelope",
    "EventStream",
    "Exit",
    "ExitReason",
    "Future",
    "InvalidOption",
    "Killed",
    "Mailbox",
    "MailboxClosed",
    "MailboxFull",
    "MailboxInUse",
    "MailboxStats",
    "Monitor",
    "NoProcess",
    "Normal",
    "PushResult",
    "QueueMailbox",
    "Registry",
    "RegistryEvent",
    "ReplyError",
    "ResultTimeout",
    "SelfAsk",
    "Shutdown",
    "StartTimeout",
    "StopTimeout",
    "StreamCancelled",
    "StreamCancelledError",
    "StreamEnd",
    "StreamError",
    "StreamFailed",
    "StreamStats",
    "StreamTask",
    "StreamTerminal",
    "Ties",
    "Timer",
    "UnknownBackend",
    "Waker",
    "abandoned",
    "backlog",
    "current_actor",
    "is_actor_thread",
    "living_actors",
    "offload",
    "send_after",
    "set_default_backend",
    "set_max_blocking_time",
    "set_thread_limit",
    "thread_of",
    "ties",
    "waiting_messages",
]
