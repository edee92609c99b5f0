"""What a closer look found: facts, each with the place in the code that it points at.

A domain's sensors say *that* something is off. Its ``evidence()`` says *why*, as far as the domain can know: each
piece is a fact in one sentence, the cause that it speaks for, and how strongly. Verdicts are drawn from these, by the
offline analyst and by a model alike.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Place(BaseModel):
    """A line of source code.

    Attributes:
        file: Path as Python knows it (``co_filename``).
        line: Line number, from 1.
        function: Qualified name of the function, or ``""`` at module level or where it is not known.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    line: Annotated[int, Field(ge=1)]
    function: str = ""

    def __str__(self) -> str:
        """Last two path components, line and function: ``shop/orders.py:42 in place_order``."""
        short = "/".join(PurePath(self.file).parts[-2:])
        return f"{short}:{self.line}" + (f" in {self.function}" if self.function else "")


class CauseKind(StrEnum):
    """The causes that the built-in domains can name."""

    MEMORY_LEAK = "memory_leak"
    DESCRIPTOR_LEAK = "descriptor_leak"
    THREAD_PILE_UP = "thread_pile_up"
    GIL_HOG = "gil_hog"
    FAILING_DEPENDENCY = "failing_dependency"
    EXCEPTION_BURST = "exception_burst"
    ERROR_BURST = "error_burst"
    UNCAUGHT_EXCEPTION = "uncaught_exception"
    RESOURCE_LIMIT = "resource_limit"
    SLOW_LINE = "slow_line"
    SLOW_QUERY = "slow_query"
    REPEATED_QUERIES = "repeated_queries"
    SLOW_DEPENDENCY = "slow_dependency"
    BLOCKED_LOOP = "blocked_loop"
    QUEUE_OVERLOAD = "queue_overload"
    CONNECTION_LEAK = "connection_leak"
    IDLE_TRANSACTION = "idle_transaction"
    LOCK_WAIT = "lock_wait"
    CACHE_THRASH = "cache_thrash"
    GC_PRESSURE = "gc_pressure"
    THREAD_LOCK = "thread_lock"
    POOL_EXHAUSTED = "pool_exhausted"
    QUEUE_GROWTH = "queue_growth"
    TASK_PILE_UP = "task_pile_up"
    LONG_GC = "long_gc"
    HTTP_POOL_EXHAUSTED = "http_pool_exhausted"
    CRASH_LOOP = "crash_loop"
    ZOMBIE_PROCESSES = "zombie_processes"


class Strength(StrEnum):
    """How far a piece of evidence carries."""

    CONCLUSIVE = "conclusive"
    """The fact explains the symptom by itself: amounts and times agree."""
    SUPPORTING = "supporting"
    """The fact fits the cause but others would too."""
    EXCLUDES = "excludes"
    """The fact speaks against the cause: it is ruled out."""
    CONTEXT = "context"
    """The fact belongs to the picture, and speaks for no cause."""


class Evidence(BaseModel):
    """One fact about why a sensor fired.

    Attributes:
        text: The fact, a sentence with its numbers and units.
        cause: The cause that it speaks for or against: a ``CauseKind`` value, or a word of the domain's own.
        strength: How far it carries.
        place: Where in the code, if the fact points at a place.
        data: The numbers behind the sentence, JSON types.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    cause: str
    strength: Strength
    place: Place | None = None
    data: dict[str, Any] = Field(default_factory=dict)
