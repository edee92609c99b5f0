"""Records as lines of JSON, and back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from beamlens.agent.journal.records import (
    FORMAT,
    Header,
    MessageRecord,
    OpenedRecord,
    Record,
    RunRecord,
    Setup,
)
from beamlens.llm.client import Message, Text, ToolCall, ToolOutput, ToolSpec, Usage

Block = Text | ToolCall | ToolOutput


class Unreadable(ValueError):  # noqa: N818 - caught where the line is known
    """A line is not what it should be; says why."""


# -- out ---------------------------------------------------------------------------------------------------------


def header_line(header: Header) -> bytes:
    """The first line."""
    return _line(
        {
            "type": "session",
            "format": FORMAT,
            "version": header.version,
            "session_id": header.session_id,
            "created_at": _time(header.created_at),
            "pid": header.pid,
            "setup": _setup(header.setup),
        }
    )


def record_line(number: int, record: Record) -> bytes:
    """Any other line; `number` counts them from 1, so that one that is missing is seen."""
    plain: dict[str, Any] = {"type": record.type, "n": number, "at": _time(record.at)}
    match record:
        case MessageRecord():
            plain |= {"run_id": record.run_id, "trace_id": record.trace_id}
            plain["message"] = {"role": record.message.role, "content": [_block(b) for b in record.message.content]}
            plain |= {"error": record.error} if record.error else {}
            plain |= {"repair": True} if record.repair else {}
        case RunRecord():
            plain |= {
                each.name: getattr(record, each.name)
                for each in dataclasses.fields(record)
                if each.name not in ("at", "usage")
            }
            plain["usage"] = _numbers(record.usage)
        case OpenedRecord():
            plain |= {"pid": record.pid, "setup": _setup(record.setup)}
    return _line(plain)


def _line(plain: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), default=repr)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(_harmless(plain), ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, as in a file name that is no UTF-8: only an escape can say it
        return json.dumps(json.loads(text), separators=(",", ":")).encode() + b"\n"


def _harmless(value: Any, depth: int = 0) -> Any:
    """What JSON cannot say, as text: a key that is a tuple, an object that holds itself."""
    if depth > 50:
        return "..."
    if isinstance(value, Mapping):
        return {str(key): _harmless(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_harmless(item, depth + 1) for item in value]
    return value if value is None or isinstance(value, str | int | float) else repr(value)


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Text():
            plain: dict[str, Any] = {"type": "text", "text": block.text}
            return plain | ({"source": block.source} if block.source else {})
        case ToolCall():
            plain = {"type": "tool_call", "id": block.id, "name": block.name, "arguments": block.arguments}
            return plain | ({"opaque": block.opaque} if block.opaque is not None else {})
    plain = {"type": "tool_output", "call_id": block.call_id, "content": block.content}
    plain |= {"is_error": True} if block.is_error else {}
    return plain | ({"source": block.source} if block.source else {}) | ({"own": block.own} if block.own else {})


def _setup(setup: Setup) -> dict[str, Any]:
    plain = {each.name: getattr(setup, each.name) for each in dataclasses.fields(setup)}
    plain["tools"] = [
        {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
        for tool in setup.tools
    ]
    plain["limits"] = dict(setup.limits)
    return plain


def _numbers(usage: Usage) -> dict[str, int]:
    return {each.name: getattr(usage, each.name) for each in dataclasses.fields(usage)}


def _time(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="microseconds")


# -- in ----------------------------------------------------------------------------------------------------------


def parse(line: bytes) -> dict[str, Any]:
    """A line as JSON.

    Raises:
        Unreadable: It is no JSON object.
    """
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"this is no JSON: {error}") from None
    if not isinstance(plain, dict):
        raise Unreadable("this is no JSON object")
    return plain


def read_version(plain: Mapping[str, Any]) -> int:
    """The version of the format, from a first line.

    Raises:
        Unreadable: It is not the first line of a journal.
    """
    version = plain.get("version")
    if plain.get("type") != "session" or plain.get("format") != FORMAT or not _is_count(version):
        raise Unreadable("this is not the first line of a session's journal")
    return int(version)  # type: ignore[arg-type]


def read_header(plain: Mapping[str, Any]) -> Header:
    """The first line.

    Raises:
        Unreadable: A field is missing or wrong.
    """
    session_id = _text(plain, "session_id")
    if not session_id:
        raise Unreadable("session_id is empty")
    return Header(
        session_id, _read_time(plain, "created_at"), _count(plain, "pid"), _read_setup(plain), read_version(plain)
    )


def read_record(plain: Mapping[str, Any], number: int) -> Record | None:
    """Any other line; ``None`` for a type that this version does not know, which is left to those that do.

    Raises:
        Unreadable: It is not the record of that number, or a field is missing or wrong.
    """
    if plain.get("n") != number:
        raise Unreadable(f"this is record {plain.get('n')!r}, where {number} is due: a line is missing or repeated")
    at = _read_time(plain, "at")
    match plain.get("type"):
        case MessageRecord.type:
            message = _mapping(plain, "message")
            role = _text(message, "role")
            if role not in ("user", "assistant"):
                raise Unreadable(f"role is {role!r}, not user or assistant")
            content = tuple(_read_block(block) for block in _list(message, "content"))
            return MessageRecord(
                at, _text(plain, "run_id"), _text(plain, "trace_id"), Message(role, content),  # type: ignore[arg-type]
                _text(plain, "error", ""), plain.get("repair") is True,
            )  # fmt: skip
        case RunRecord.type:
            usage = _mapping(plain, "usage")
            price = plain.get("cost_usd")
            cost = float(price) if isinstance(price, int | float) else None
            return RunRecord(
                at, _text(plain, "run_id"), _text(plain, "trace_id"), _text(plain, "stopped_by"),
                _count(plain, "iterations"), Usage(*(_count(usage, each.name) for each in dataclasses.fields(Usage))),
                _text(plain, "model"), cost, _text(plain, "error", ""),
            )  # fmt: skip
        case OpenedRecord.type:
            return OpenedRecord(at, _count(plain, "pid"), _read_setup(plain))
        case str():
            return None
    raise Unreadable("it has no type")


def _read_block(plain: Any) -> Block:
    if not isinstance(plain, Mapping):
        raise Unreadable("a block of a message is no object")
    match plain.get("type"):
        case "text":
            return Text(_text(plain, "text"), _text(plain, "source", ""))
        case "tool_call":
            if "arguments" not in plain:
                raise Unreadable("arguments is missing")
            return ToolCall(_text(plain, "id"), _text(plain, "name"), plain["arguments"], plain.get("opaque"))
        case "tool_output":
            own = _count(plain, "own") if "own" in plain else 0
            is_error = plain.get("is_error") is True
            return ToolOutput(
                _text(plain, "call_id"), _text(plain, "content"), is_error, _text(plain, "source", ""), own
            )
    raise Unreadable(f"a message has no block of type {plain.get('type')!r}")


def _read_setup(plain: Mapping[str, Any]) -> Setup:
    setup = _mapping(plain, "setup")
    tools = tuple(
        ToolSpec(_text(tool, "name"), _text(tool, "description"), _mapping(tool, "parameters"))
        for tool in _list(setup, "tools")
    )
    return Setup(
        _text(setup, "system_prompt"), tools, _text(setup, "client"), _text(setup, "model"),
        _mapping(setup, "limits"), _text(setup, "queue_mode"),
    )  # fmt: skip


def _text(plain: Any, name: str, default: str | None = None) -> str:
    value = plain.get(name, default) if isinstance(plain, Mapping) else None
    if not isinstance(value, str):
        raise Unreadable(f"{name} is missing or no text")
    return value


def _count(plain: Mapping[str, Any], name: str) -> int:
    value = plain.get(name)
    if not _is_count(value):
        raise Unreadable(f"{name} is missing or no number of at least 0")
    return int(value)  # type: ignore[arg-type]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _mapping(plain: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = plain.get(name)
    if not isinstance(value, Mapping):
        raise Unreadable(f"{name} is missing or no object")
    return value


def _list(plain: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = plain.get(name)
    if not isinstance(value, list):
        raise Unreadable(f"{name} is missing or no list")
    return value


def _read_time(plain: Mapping[str, Any], name: str) -> float:
    try:
        return dt.datetime.fromisoformat(_text(plain, name)).timestamp()
    except (ValueError, OverflowError):
        raise Unreadable(f"{name} is missing or no time") from None
