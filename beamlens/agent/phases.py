"""The phases of a run, and which may follow which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum


class Phase(StrEnum):
    """Where a run is."""

    INITIALIZING = "initializing"
    AWAIT_MODEL = "await_model"
    NORMALIZING_RESPONSE = "normalizing_response"
    EXECUTING_TOOLS = "executing_tools"
    AWAITING_TOOL_RESULTS = "awaiting_tool_results"
    RECOVERING_PROVIDER_ERROR = "recovering_provider_error"
    FINALIZING = "finalizing"
    ABORTED = "aborted"


_P = Phase
_NEXT: Mapping[Phase, frozenset[Phase]] = {
    _P.INITIALIZING: frozenset({_P.AWAIT_MODEL, _P.FINALIZING, _P.ABORTED}),
    _P.AWAIT_MODEL: frozenset({_P.NORMALIZING_RESPONSE, _P.RECOVERING_PROVIDER_ERROR, _P.FINALIZING, _P.ABORTED}),
    _P.NORMALIZING_RESPONSE: frozenset({_P.AWAIT_MODEL, _P.EXECUTING_TOOLS, _P.FINALIZING, _P.ABORTED}),
    _P.EXECUTING_TOOLS: frozenset({_P.AWAITING_TOOL_RESULTS, _P.ABORTED}),
    _P.AWAITING_TOOL_RESULTS: frozenset({_P.AWAIT_MODEL, _P.FINALIZING, _P.ABORTED}),
    _P.RECOVERING_PROVIDER_ERROR: frozenset({_P.FINALIZING, _P.ABORTED}),
    _P.FINALIZING: frozenset(),
    _P.ABORTED: frozenset(),
}


class IllegalTransition(RuntimeError):  # noqa: N818 - as the other errors are named
    """A phase that cannot follow: a mistake in the loop itself."""


class Phases:
    """The phase of one run; tells each transition."""

    def __init__(self, on_change: Callable[[str, str], object]) -> None:
        self._on_change = on_change
        self.now: Phase | None = None

    def move(self, to: Phase) -> None:
        """Go on.

        Raises:
            IllegalTransition: `to` cannot follow.
        """
        before = self.now
        allowed = _NEXT[before] if before is not None else frozenset({Phase.INITIALIZING})
        if to not in allowed:
            raise IllegalTransition(f"{before} cannot be followed by {to}")
        self.now = to
        self._on_change("" if before is None else before.value, to.value)
