"""What may cross: JSON types, `AgentStatus`, and errors by name. Nothing is unpickled, no name is imported."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, get_args

from beamlens.control.errors import (
    AccessRefused,
    Busy,
    ConnectionLost,
    NotSendable,
    ProtocolError,
    RemoteError,
    VersionMismatch,
)
from beamlens.errors import NotStarted
from beamlens.findings import AgentStatus
from beamlens.findings.status import Health
from beamlens_actors import ActorDead, AskTimeout, MailboxFull

_DEEPEST = 30
_MOST_TEXT = 2_000
_KINDS = ("watcher", "operator", "coordinator")

_ERRORS: dict[str, type[Exception]] = {
    error.__name__: error
    for error in (
        ActorDead,
        AskTimeout,
        MailboxFull,
        AccessRefused,
        Busy,
        ConnectionLost,
        NotSendable,
        NotStarted,
        ProtocolError,
        TimeoutError,
        VersionMismatch,
    )
}


def plain(value: Any, depth: int = _DEEPEST) -> Any:
    """A value of JSON types that msgpack can carry; what is none of them becomes the name of its type."""
    match value:
        case None | bool() | str():
            # A subclass (an enumeration, a lazy text) is carried as what it is derived from.
            return str.__str__(value) if isinstance(value, str) else value
        case int():
            return int(value) if -(2**63) <= value < 2**64 else f"<int of {value.bit_length()} bits>"
        case float():
            return float(value) if math.isfinite(value) else None
    if depth <= 0:
        return "..."
    if isinstance(value, Mapping):
        return {str(plain(key, 0)): plain(one, depth - 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one, depth - 1) for one in value]
    return f"<{type(value).__name__}>"


def status_to_wire(status: AgentStatus) -> dict[str, Any]:
    """An agent's status as a map."""
    return {field.name: plain(getattr(status, field.name)) for field in dataclasses.fields(status)}


def status_from_wire(data: object) -> AgentStatus:
    """Undo `status_to_wire`, trusting nothing.

    Raises:
        ProtocolError: It is no status.
    """
    if not isinstance(data, dict):
        raise ProtocolError("what came is no status of an agent")
    found: dict[str, Any] = {}
    for field in dataclasses.fields(AgentStatus):
        if field.name not in data:
            raise ProtocolError(f"a status came without {field.name}")
        found[field.name] = _checked(field.name, data[field.name])
    return AgentStatus(**found)


def _checked(name: str, value: object) -> object:
    fits = _FITS[name](value)
    if not fits:
        raise ProtocolError(f"a status came with {name} {value!r:.80}")
    return tuple(value) if isinstance(value, list) else value


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_seconds(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


_FITS: dict[str, Any] = {
    "name": _is_text,
    "kind": _KINDS.__contains__,
    "state": get_args(Health).__contains__,
    "iteration": _is_count,
    "running": _is_flag,
    "runs": _is_count,
    "alerts": _is_count,
    "active_sensors": _is_texts,
    "stopped_by": _is_text,
    "model": _is_text,
    "wait_seconds": _is_seconds,
    "queued": _is_count,
}


def error_to_wire(error: BaseException) -> dict[str, str]:
    """An error as its type's name and its text."""
    # The errors of Beamlens are sentences of its own; those of foreign code may fail when they are shown.
    try:
        text = str(error)[:_MOST_TEXT]
    except Exception:  # noqa: BLE001 - the host's exception class
        text = ""
    name = "AskTimeout" if isinstance(error, AskTimeout) else type(error).__name__
    return {"type": name, "message": text}


def error_from_wire(data: object) -> Exception:
    """The error to raise: itself where it is one that both sides know, else a `RemoteError`."""
    fields = data if isinstance(data, dict) else {}
    name, message = fields.get("type"), fields.get("message")
    if not isinstance(name, str) or not isinstance(message, str):
        return ProtocolError("an error came that is none")
    known = _ERRORS.get(name)
    return RemoteError(name, message) if known is None else known(message)
