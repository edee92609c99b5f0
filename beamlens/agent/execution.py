"""One turn's tool calls: in parallel, each in a supervised task, exactly one result for each, in call order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from beamlens.agent.supervised import Supervised
from beamlens.agent.tool import Tool, ToolError, ToolResult, render
from beamlens.agent.trust import TrustMetadata
from beamlens.telemetry import run as runs
from beamlens_actors import Aborted, AbortSignal, clock

if TYPE_CHECKING:
    from beamlens.agent.services import Services
    from beamlens.llm.client import ToolCall

_Settle = Callable[[], ToolResult]


class ToolExecution:
    """Executes the tool calls of one agent."""

    def __init__(
        self,
        services: Services,
        agent: str,
        tools: Mapping[str, Tool],
        abort: AbortSignal,
        default_timeout: float = 30.0,
    ) -> None:
        self._services = services
        self._agent = agent
        self._tools = tools
        self._abort = abort
        self._timeout = default_timeout

    def execute(self, calls: Sequence[ToolCall], iteration: int) -> list[ToolResult]:
        """Execute all calls and wait for each; never raises for what a tool or a model did."""
        started = [self._start(call, iteration) for call in calls]
        results = []
        for settle in started:
            results.append(settle())
            if (run := runs.current.get()) is not None:
                run.deliver()
        return results

    def _start(self, call: ToolCall, iteration: int) -> _Settle:
        about = {"agent": self._agent, "iteration": iteration, "tool_name": call.name, "call_id": call.id}
        self._services.bus.emit("tool.start", self._agent, **about)
        began = clock.monotonic()
        prepared = self._prepare(call)
        if isinstance(prepared, ToolResult):
            return lambda: self._tell(prepared, about, began)
        tool, arguments = prepared
        try:
            task = Supervised(self._services.tool_tasks(), lambda: tool.fn(arguments), f"{self._agent}:{tool.name}")
        except Exception as error:  # noqa: BLE001 - no thread, or the supervisor is being restarted
            failed = _error(call, "failed", "the tool could not be run: ", str(error))
            return lambda: self._tell(failed, about, began)
        return lambda: self._tell(self._wait(call, tool, task), about, began)

    def _prepare(self, call: ToolCall) -> ToolResult | tuple[Tool, BaseModel]:
        tool = self._tools.get(call.name)
        if tool is None:
            names = ", ".join(sorted(self._tools))
            return _error(call, "unknown_tool", f"there is no tool {call.name!r}; the tools are: {names}")
        try:
            return tool, tool.schema.model_validate(call.arguments)
        except ValidationError as invalid:
            return _error(call, "bad_arguments", _explain(tool, invalid))

    def _wait(self, call: ToolCall, tool: Tool, task: Supervised[Any]) -> ToolResult:
        timeout = self._timeout if tool.timeout is None else tool.timeout
        try:
            value = task.result(timeout, self._abort)
        except ToolError as refusal:
            text = str(refusal)
            return _error(call, "refused", text[: refusal.own], text[refusal.own :], tool.source)
        except Aborted:
            return _error(call, "aborted", "the run was stopped")
        except TimeoutError:
            return _error(call, "timeout", f"{tool.name} did not end within {timeout:g} s")
        except Exception as error:  # noqa: BLE001 - whatever a tool does, the model gets an answer
            said = f"{type(error).__name__}: {error}"
            return _error(call, "failed", f"{tool.name} failed: ", said, tool.source)
        trust = _trust(tool.name, tool.source) if tool.trust == "untrusted" else TrustMetadata(tool=tool.name)
        return ToolResult(call.id, render(value), trust=trust, details=value)

    def _tell(self, result: ToolResult, about: Mapping[str, Any], began: float) -> ToolResult:
        took = {"duration": clock.monotonic() - began}
        if result.error_type in ("failed", "timeout"):
            self._services.bus.emit("tool.exception", self._agent, took, reason=result.content, **about)
        else:
            self._services.bus.emit("tool.stop", self._agent, took, is_error=result.is_error, **about)
        return result


def _error(call: ToolCall, error_type: str, own: str, outside: str = "", source: str = "") -> ToolResult:
    """A failure, in our own words and, after them, in the words of what failed: those are from outside."""
    trust = _trust(call.name, source) if outside else TrustMetadata(tool=call.name)
    content = own + render(outside)
    return ToolResult(call.id, content, is_error=True, error_type=error_type, trust=trust, own=len(own))


def _trust(tool: str, source: str) -> TrustMetadata:
    return TrustMetadata("untrusted", source or tool, tool)


def _explain(tool: Tool, invalid: ValidationError) -> str:
    wrong = "; ".join(
        f"{'.'.join(str(part) for part in error['loc']) or 'arguments'}: {error['msg']}"
        for error in invalid.errors(include_url=False, include_input=False)
    )
    fields = ", ".join(
        f"{name}{'' if field.is_required() else ' (optional)'}" for name, field in tool.schema.model_fields.items()
    )
    return f"bad arguments for {tool.name}: {wrong}. Its arguments are: {fields or 'none'}"
