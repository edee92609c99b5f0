"""Sessions and their journals."""

from __future__ import annotations

from beamlens.telemetry.events.event import NUMBER, Event

EVENTS: tuple[Event, ...] = (
    Event(
        "agent_core.session.start",
        "A session runs. journal is its file; empty for one in memory.",
        metadata={"session_id": str, "model": str, "journal": str},
    ),
    Event(
        "agent_core.session.restored",
        "A session of an earlier process goes on, after its start; note says what was half written.",
        {"messages": int, "repaired_calls": int, "torn_bytes": int},
        {"session_id": str, "note": str},
    ),
    Event(
        "agent_core.session.restart",
        "A session crashed and goes on with its conversation.",
        {"restarts": int, "messages": int},
        {"session_id": str},
    ),
    Event(
        "agent_core.session.gave_up",
        "A session crashes too often, or cannot be started again; its end follows.",
        {"restarts": int},
        {"session_id": str, "reason": str},
    ),
    Event(
        "agent_core.session.end",
        "A session has ended for good.",
        {"duration": NUMBER},
        {"session_id": str, "reason": str},
    ),
    Event(
        "agent_core.journal.failed",
        "A session's journal cannot be written: it goes on in memory.",
        {"unwritten": int},
        {"session_id": str, "reason": str},
    ),
    Event(
        "agent_core.journal.resumed",
        "What had to wait is written; reason is why it had to.",
        {"unwritten": int},
        {"session_id": str, "reason": str},
    ),
)
