"""One turn's tool calls: in parallel under a cap, exactly one result for each, in call order."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from beamlens.agent.failures import BROKEN, failed
from beamlens.agent.supervised import GRACE
from beamlens.agent.tool import Tool, ToolResult
from beamlens.agent.tool_call import RunningCall
from beamlens.telemetry import run as runs
from beamlens_actors import AbortSignal, clock
from beamlens_actors.waiting import Condition

if TYPE_CHECKING:
    from beamlens.agent.services import Services
    from beamlens.agent.trust import Trust
    from beamlens.llm.client import ToolCall


class ToolEvents:
    """Who hears of tool calls as they go; all do nothing here."""

    def tool_started(self, call: ToolCall) -> None:
        """A call was dispatched."""

    def tool_updated(self, call: ToolCall, partial: Any, trust: Trust) -> None:
        """A tool has a partial result; on the tool's thread."""

    def tool_ended(self, call: ToolCall, result: ToolResult) -> None:
        """A call has its result."""


class ToolExecution:
    """Executes the tool calls of one agent."""

    def __init__(
        self,
        services: Services,
        agent: str,
        tools: Mapping[str, Tool],
        abort: AbortSignal,
        default_timeout: float = 30.0,
        *,
        max_concurrency: int = 8,
        retries: int = 2,
        events: ToolEvents | None = None,
    ) -> None:
        self._services = services
        self._agent = agent
        self._tools = tools
        self._abort = abort
        self._timeout = default_timeout
        self._most = max_concurrency
        self._retries = retries
        self._events = events or ToolEvents()
        self._known = ", ".join(sorted(tools))
        self._iteration = 0

    def execute(self, calls: Sequence[ToolCall], iteration: int) -> list[ToolResult]:
        """Execute all calls and wait for each; never raises for what a tool or a model did."""
        if not calls:
            return []
        self._iteration = iteration
        return _Batch(self, calls, self._most, self._abort).run()

    # -- for the batch ---------------------------------------------------------------------------------------

    def make(self, index: int, call: ToolCall, wake: Callable[[], object]) -> RunningCall:
        """A call that is not started."""
        tool = self._tools.get(call.name)
        trust: Trust = "trusted" if tool is None else tool.trust
        return RunningCall(
            index,
            call,
            tool,
            abort=self._abort,
            timeout=self._timeout,
            retries=self._retries,
            on_update=lambda partial: self._events.tool_updated(call, partial, trust),
            wake=wake,
        )

    def begin(self, running: RunningCall) -> ToolResult | None:
        """Tell and start it."""
        call = running.call
        self._emit("tool.start", call)
        self._emit_task("start", call)
        self._events.tool_started(call)
        return running.start(self._services.tool_tasks, self._known, f"{self._agent}:{call.name}")

    def look(self, running: RunningCall) -> ToolResult | None:
        """Go on with it."""
        before = running.attempts
        result = running.look(self._services.tool_tasks, f"{self._agent}:{running.call.name}")
        if running.attempts > before:
            self._emit_task("retry", running.call, {"attempt": running.attempts})
        return result

    def end(self, running: RunningCall, result: ToolResult, *, dispatched: bool = True) -> None:
        """Tell its result."""
        running.close()
        call, trust = running.call, result.trust.level
        if dispatched:
            took = {"duration": clock.monotonic() - running.began}
            if result.error_type in BROKEN:
                self._emit("tool.exception", call, took, reason=result.content, trust=trust)
            else:
                self._emit("tool.stop", call, took, is_error=result.is_error, trust=trust)
        if not result.is_error or result.error_type == "tool_error":
            self._emit_task("end", call, is_error=result.is_error, trust=trust)
        else:
            self._emit_task("error", call, reason=result.error_type, trust=trust)
        self._services.bus.emit(
            "agent_core.tool_result.emit",
            self._agent,
            tool_name=call.name,
            tool_call_id=call.id,
            is_error=result.is_error,
            trust=trust,
        )
        self._events.tool_ended(call, result)

    def _emit(self, name: str, call: ToolCall, numbers: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        about = {"agent": self._agent, "iteration": self._iteration, "tool_name": call.name, "call_id": call.id}
        self._services.bus.emit(name, self._agent, numbers, **about, **more)

    def _emit_task(self, what: str, call: ToolCall, numbers: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        self._services.bus.emit(
            f"agent_core.tool_task.{what}", self._agent, numbers, tool_name=call.name, tool_call_id=call.id, **more
        )


class _Batch:
    """The calls of one turn."""

    def __init__(self, execution: ToolExecution, calls: Sequence[ToolCall], most: int, abort: AbortSignal) -> None:
        self._execution = execution
        self._most = most
        self._abort = abort
        self._queued = deque(execution.make(index, call, self._wake) for index, call in enumerate(calls))
        self._running: list[RunningCall] = []
        self._results: list[ToolResult | None] = [None] * len(calls)
        self._changed = Condition()
        self._woken = False
        self._kill_at: float | None = None

    def run(self) -> list[ToolResult]:
        take_back = self._abort.on_abort(self._wake)
        telling = runs.current.get()
        if telling is not None:
            telling.on_added = (
                self._wake
            )  # a tool may take a minute; what it tells meanwhile is not to wait for its end
        try:
            while self._queued or self._running:
                if self._abort.aborted:
                    self._stop()
                else:
                    self._start()
                self._deliver()
                if self._running:
                    self._wait()
                    self._look()
        finally:
            take_back()
            if telling is not None:
                telling.on_added = None
        self._deliver()
        return [result for result in self._results if result is not None]

    def _wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def _wait(self) -> None:
        due = min(running.due for running in self._running)
        due = due if self._kill_at is None else min(due, self._kill_at)
        with self._changed:
            self._changed.wait_until(lambda: self._woken, max(0.0, due - clock.monotonic()))
            self._woken = False

    def _start(self) -> None:
        while self._queued and len(self._running) < self._most and not self._abort.aborted:
            running = self._queued.popleft()
            running.began = clock.monotonic()
            result = self._execution.begin(running)
            if result is None:
                self._running.append(running)
            else:
                self._settle(running, result)

    def _look(self) -> None:
        for running in list(self._running):
            result = self._execution.look(running)
            if result is not None:
                self._running.remove(running)
                self._settle(running, result)

    def _stop(self) -> None:
        # The signal has been given. Who heeds it may still return; after the grace nobody is waited for.
        while self._queued:
            running = self._queued.popleft()
            self._settle(running, _aborted(running), dispatched=False)
        now = clock.monotonic()
        if self._kill_at is None:
            self._kill_at = now + GRACE
        for running in list(self._running):
            if now >= self._kill_at or running.waits_for_retry():
                result = running.stop("aborted", "the run was stopped", kill=True)
                self._running.remove(running)
                self._settle(running, result)

    def _settle(self, running: RunningCall, result: ToolResult, *, dispatched: bool = True) -> None:
        if result.call_id != running.call.id:
            result = dataclasses.replace(result, call_id=running.call.id)
        self._results[running.index] = result
        self._execution.end(running, result, dispatched=dispatched)

    @staticmethod
    def _deliver() -> None:
        if (run := runs.current.get()) is not None:
            run.deliver()


def _aborted(running: RunningCall) -> ToolResult:
    return failed(running.call, "aborted", "the run was stopped")
