"""What the Coordinator is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from beamlens.findings import Alert, CoordinatorResult, RunHandle

if TYPE_CHECKING:
    from beamlens.coordinator.strategies import Strategy
    from beamlens.llm.client import LLMClient

DEADLINE = 300.0
"""Seconds for a run, unless told otherwise."""

MAX_ITERATIONS = 25


@dataclass(frozen=True, slots=True)
class Job:
    """One run.

    Attributes:
        context: Why, and what is known: ``reason`` and any other keys; text from outside.
        alerts: What is to be looked at besides the inbox.
        domains: Whom it may ask; ``None``: every operator there is.
        max_iterations: Most model calls.
        deadline: Seconds.
        strategy: How it goes about it; by default the Coordinator's.
        client: Who answers; by default the Coordinator's.
        asked_by: Who wants it: ``inbox``, ``caller``, ``schedule``, or the name of a domain that saw something.
        chain: How many runs before it scheduled the next one.
        handle: Whoever waits for it; ``None``: nobody does.
    """

    context: Mapping[str, Any] = field(default_factory=dict)
    alerts: tuple[Alert, ...] = ()
    domains: tuple[str, ...] | None = None
    max_iterations: int = MAX_ITERATIONS
    deadline: float = DEADLINE
    strategy: Strategy | None = None
    client: LLMClient | None = None
    asked_by: str = "inbox"
    chain: int = 0
    handle: RunHandle[CoordinatorResult] | None = None

    @property
    def asked(self) -> bool:
        """Whether somebody waits for an answer, or did when it was scheduled; else alerts brought it about."""
        return self.asked_by in ("caller", "schedule")

    @property
    def question(self) -> str:
        """What it is about, in words; ``""`` when nothing was said."""
        reason = self.context.get("reason")
        rest = {key: value for key, value in self.context.items() if key != "reason"}
        told = [] if reason is None else [str(reason)]
        told += [f"{key}: {value if isinstance(value, str) else repr(value)}" for key, value in rest.items()]
        return "\n".join(told)
