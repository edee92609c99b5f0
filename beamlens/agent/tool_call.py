"""One tool call: its attempts, each a supervised task, and its one result."""

from __future__ import annotations

import inspect
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from types import CodeType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from beamlens.agent.content import MOST, Unserialisable, render
from beamlens.agent.failures import WORTH_ANOTHER_TRY, describe, explain, failed, of_task, untrusted
from beamlens.agent.supervised import Supervised
from beamlens.agent.tool import Tool, ToolResult
from beamlens.agent.trust import TrustMetadata
from beamlens_actors import AbortSignal, clock

if TYPE_CHECKING:
    from beamlens.llm.client import ToolCall
    from beamlens_supervision import TaskSupervisorRef

FIRST_BACKOFF = 0.1
MOST_BACKOFF = 2.0

_Run = Callable[[], tuple[Any, str]]


class RunningCall:
    """A call that was dispatched. Only the loop's thread uses it, except for `update`."""

    def __init__(
        self,
        index: int,
        call: ToolCall,
        tool: Tool | None,
        *,
        abort: AbortSignal,
        timeout: float,
        retries: int,
        on_update: Callable[[Any], object],
        wake: Callable[[], object],
    ) -> None:
        self.index = index
        self.call = call
        self.tool = tool
        self.began = clock.monotonic()
        self.attempts = 0
        self._timeout = timeout if tool is None or tool.timeout is None else tool.timeout
        self._retries = retries if tool is not None and tool.idempotent else 0
        self._parent = abort
        self._abort: AbortSignal | None = None
        self._on_update = on_update
        self._wake = wake
        self._task: Supervised[tuple[Any, str]] | None = None
        self._again_at: float | None = None
        self._run: _Run | None = None
        self._open = True
        self._gate = threading.Lock()

    @property
    def due(self) -> float:
        """When something is to be done about it, if nothing happens before; of `clock.monotonic()`."""
        end = self.began + self._timeout
        return end if self._again_at is None else min(end, self._again_at)

    def start(self, tasks: Callable[[], TaskSupervisorRef], known: str, name: str) -> ToolResult | None:
        """Begin its first attempt; a result when that cannot be."""
        tool = self.tool
        if tool is None:
            return failed(self.call, "unknown_tool", f"there is no tool {self.call.name!r}; the tools are: {known}")
        try:
            arguments = tool.schema.model_validate(self.call.arguments)
        except ValidationError as invalid:
            return failed(self.call, "invalid_tool_arguments", explain(tool, invalid))
        except Exception as error:  # noqa: BLE001 - a validator of the schema is foreign code
            own = f"bad arguments for {tool.name}: "
            return failed(self.call, "invalid_tool_arguments", own, describe(error), tool.source)
        self._run = self._body(tool, arguments)
        return self._attempt(tasks, name)

    def look(self, tasks: Callable[[], TaskSupervisorRef], name: str) -> ToolResult | None:
        """Go on as far as it goes: its result, once it has one."""
        if self._task is not None and self._task.done:
            return self._ended(self._task)
        now = clock.monotonic()
        if now >= self.began + self._timeout:
            return self.stop("tool_task_timeout", f"{self.call.name} did not end within {self._timeout:g} s")
        if self._again_at is not None and now >= self._again_at:
            self._again_at = None
            return self._attempt(tasks, name)
        return None

    def waits_for_retry(self) -> bool:
        """Whether it runs nothing at the moment."""
        return self._task is None

    def stop(self, kind: str, text: str, *, kill: bool = False) -> ToolResult:
        """End it in stages: its signal, then its task, whose thread is abandoned after a grace (`kill`: at once)."""
        if self._abort is not None:
            self._abort.abort(kind)
        if self._task is not None:
            if self._task.done:
                return self._ended(self._task, again=False) or failed(self.call, kind, text)
            self._task.give_up(kill=kill)
        return failed(self.call, kind, text)

    def update(self, partial: Any) -> None:
        """A partial result, on the tool's thread. What comes after the end is dropped: it belongs to nothing."""
        with self._gate:
            if self._open:
                self._on_update(partial)

    def close(self) -> None:
        """It has its result: no update may follow."""
        with self._gate:
            self._open = False

    def _attempt(self, tasks: Callable[[], TaskSupervisorRef], name: str) -> ToolResult | None:
        self.attempts += 1
        run = self._run
        try:
            assert run is not None  # noqa: S101 - start() made it
            self._task = Supervised(tasks(), run, name, self._wake)
        except Exception as error:  # noqa: BLE001 - no thread, or the supervisor is being restarted
            self._task = None
            return self._or_again(
                failed(self.call, "tool_task_start_failed", "the tool could not be run: ", str(error))
            )
        return None

    def _ended(self, task: Supervised[tuple[Any, str]], *, again: bool = True) -> ToolResult | None:
        assert self.tool is not None  # noqa: S101 - it was run
        if task.error() is not None:
            result = of_task(self.call, self.tool, task)
            self._task = None
            return self._or_again(result) if again else result
        value, text = task.value()
        if isinstance(value, ToolResult):
            return replace(value, call_id=self.call.id)
        name, source = self.call.name, self.tool.source
        trust = untrusted(name, source) if self.tool.trust == "untrusted" else TrustMetadata(tool=name)
        # What was cut for the model may be any size: it is not kept for whoever listens.
        details = None if len(text) > MOST else value
        return ToolResult(self.call.id, text, trust=trust, details=details)

    def _or_again(self, result: ToolResult) -> ToolResult | None:
        if result.error_type not in WORTH_ANOTHER_TRY or self.attempts > self._retries or self._parent.aborted:
            return result
        backoff = min(MOST_BACKOFF, FIRST_BACKOFF * 2 ** (self.attempts - 1))
        self._again_at = clock.monotonic() + backoff * random.uniform(0.5, 1.0)  # noqa: S311 - spreads, hides nothing
        return None

    def _body(self, tool: Tool, arguments: BaseModel) -> _Run:
        options: dict[str, Any] = {}
        wanted = extra_parameters(tool.fn)
        if "abort" in wanted:
            options["abort"] = self._abort = self._parent.child()
        if "on_update" in wanted:
            options["on_update"] = self.update
        if "call_id" in wanted:
            options["call_id"] = self.call.id

        def run() -> tuple[Any, str]:
            value = tool.fn(arguments, **options)
            if inspect.iscoroutine(value):
                value.close()
                raise Unserialisable("a coroutine; tools are called, not awaited")
            if isinstance(value, ToolResult):
                return value, value.content
            # Rendered in the tool's own time: this may take long too.
            return value, render(value)

        return run


_EXTRA = frozenset({"abort", "on_update", "call_id"})


def extra_parameters(fn: Callable[..., Any]) -> frozenset[str]:
    """Which of ``abort``, ``on_update`` and ``call_id`` a function takes by name."""
    code = getattr(getattr(fn, "__func__", fn), "__code__", None)
    if isinstance(code, CodeType) and not hasattr(fn, "__wrapped__") and not hasattr(fn, "__signature__"):
        return _extra_of(code)
    try:
        return _EXTRA & inspect.signature(fn).parameters.keys()
    except (TypeError, ValueError):
        return frozenset()


@lru_cache(maxsize=512)
def _extra_of(code: CodeType) -> frozenset[str]:
    # Remembered by its code: a tool's function is often a closure of one run, all of which would be kept with it.
    return _EXTRA & {*code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]}
