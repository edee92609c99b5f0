"""What every agent has: its loop, its tools, its subagents."""

from __future__ import annotations

from beamlens.telemetry.events.event import NUMBER, TRUST, Event

_CALL = {"tool_name": str, "tool_call_id": str}
_SUBAGENT = {"session_id": str, "role": str, "index": int}

EVENTS: tuple[Event, ...] = (
    Event("tool.start", "A tool begins.", metadata={"agent": str, "iteration": int, "tool_name": str, "call_id": str}),
    Event(
        "tool.stop",
        "A tool ended; is_error when its answer is an error for the model.",
        {"duration": NUMBER},
        {"agent": str, "iteration": int, "tool_name": str, "call_id": str, "is_error": bool, **TRUST},
    ),
    Event(
        "tool.exception",
        "A tool crashed or took too long; the model got an error.",
        {"duration": NUMBER},
        {"agent": str, "iteration": int, "tool_name": str, "call_id": str, "reason": str, **TRUST},
    ),
    Event(
        "agent_core.loop.start",
        "An agent loop started.",
        {"prompt_count": int, "message_count": int, "tool_count": int},
        {"run_id": str, "model": str},
    ),
    Event(
        "agent_core.loop.end",
        "An agent loop ended; status is what stopped it.",
        {"duration": NUMBER, "message_count": int},
        {"run_id": str, "model": str, "status": str},
    ),
    Event(
        "agent_core.loop.state_transition",
        "An agent loop went to another phase; from_state is empty for the first.",
        metadata={"run_id": str, "from_state": str, "to_state": str},
    ),
    Event("agent_core.tool_task.start", "A tool call was dispatched.", metadata=_CALL),
    Event("agent_core.tool_task.retry", "An idempotent tool is tried again.", {"attempt": int}, _CALL),
    Event("agent_core.tool_task.end", "A tool answered.", metadata={**_CALL, "is_error": bool, **TRUST}),
    Event(
        "agent_core.tool_task.error",
        "A tool did not answer; reason is the kind of its error. Without a start when aborted while it waited.",
        metadata={**_CALL, "reason": str, **TRUST},
    ),
    Event(
        "agent_core.tool_result.emit",
        "A tool call has its one result.",
        metadata={**_CALL, "is_error": bool, **TRUST},
    ),
    Event(
        "agent_core.tool_call.name_normalized",
        "The model wrote a tool's name with other white space.",
        metadata={"original_name": str, "matched_tool_name": str},
    ),
    Event("agent_core.subagent.spawn", "A subagent runs.", metadata=_SUBAGENT),
    Event(
        "agent_core.subagent.end",
        "A subagent has ended, in whatever way.",
        {"duration": NUMBER},
        {**_SUBAGENT, "reason": str},
    ),
    Event(
        "agent_core.event_stream.queue_depth",
        "Events of a run that wait for whoever reads them, at the end of each turn.",
        {"depth": int, "max_queue": int, "dropped": int},
        {"run_id": str},
    ),
    Event(
        "agent.llm_error",
        "A model call of a user's agent failed for good or is tried again.",
        metadata={"reason": str, "retry_count": int, "will_retry": bool},
    ),
    Event(
        "agent.run_stopped",
        "A run of a user's agent ended; stopped_by says what ended it.",
        {"duration": NUMBER, "iterations": int},
        {"stopped_by": str},
    ),
)
