"""Calls of models, the providers that they go to, and what they may cost."""

from __future__ import annotations

from beamlens.telemetry.events.event import NUMBER, NUMBER_OR_NONE, Event

EVENTS: tuple[Event, ...] = (
    Event(
        "llm.start",
        "A model is called.",
        metadata={"agent": str, "model": str, "iteration": int, "context_size": int},
    ),
    Event(
        "llm.stop",
        "A model has answered. cost_usd is None where the price is not known.",
        {
            "duration": NUMBER,
            "input_tokens": int,
            "output_tokens": int,
            "cache_read_tokens": int,
            "cache_write_tokens": int,
            "cost_usd": NUMBER_OR_NONE,
        },
        {
            "agent": str,
            "model": str,
            "iteration": int,
            "stop_reason": str,
            "tools_selected": list,
            "response": str,
        },
    ),
    Event(
        "compaction.start",
        "A conversation has become too large, and its older part is being summarised.",
        {"message_count": int, "context_tokens": int},
        {"agent": str, "iteration": int},
    ),
    Event(
        "compaction.stop",
        "It goes on with the summary. The numbers are those of now; as before where nothing could be summarised.",
        {"message_count": int, "context_tokens": int, "duration": NUMBER},
        {"agent": str, "iteration": int},
    ),
    Event(
        "compaction.exception",
        "There is no summary; the conversation stays as it is.",
        {"duration": NUMBER},
        {"agent": str, "iteration": int, "reason": str},
    ),
    Event(
        "llm.exception",
        "A model call failed.",
        {"duration": NUMBER},
        {"agent": str, "model": str, "iteration": int, "kind": str, "reason": str},
    ),
    Event("ai.dispatcher.dispatch", "A call of a provider is to be made.", metadata={"provider": str}),
    Event(
        "ai.dispatcher.rejected",
        "A call was not made: circuit_open, rate_limited, max_concurrency or queue_full.",
        {"duration": NUMBER, "retry_after": NUMBER_OR_NONE},
        {"provider": str, "reason": str},
    ),
    Event(
        "ai.dispatcher.queue_depth",
        "A call waits, begins or has ended: how many are under way, how many wait, how many may be under way.",
        {"active": int, "waiting": int, "cap": int},
        {"provider": str},
    ),
    Event(
        "ai.circuit_breaker.opened",
        "A provider failed too often in a row: it is not called for a while.",
        {"failure_count": int, "failure_threshold": int},
        {"provider": str},
    ),
    Event(
        "ai.circuit_breaker.half_opened",
        "The while is over: one call finds out.",
        {"recovery": NUMBER},
        {"provider": str},
    ),
    Event("ai.circuit_breaker.closed", "The provider works again.", metadata={"provider": str}),
    Event(
        "ai.circuit_breaker.reopened",
        "The call that was to find out failed.",
        {"recovery": NUMBER},
        {"provider": str},
    ),
    Event(
        "ai.fallback.switched",
        "A client failed and the next one of its fallback is asked.",
        metadata={"provider": str, "failed": str, "next": str, "reason": str},
    ),
    Event(
        "budget.exhausted",
        "A limit of the budget is reached: the offline analyst takes over. Once each time that it runs out.",
        {"spent": NUMBER, "bound": NUMBER},
        {"limit": str},
    ),
    Event(
        "budget.file_unusable",
        "The budget's file cannot be read or written; reason says why. Once until it can be again.",
        metadata={"path": str, "reason": str},
    ),
)
