"""`run_agent`: one run without an agent that outlives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from beamlens.agent.core import default_core
from beamlens.agent.loop import AgentLoop
from beamlens.agent.ref import Said, as_messages
from beamlens.agent.supervised import GRACE
from beamlens.errors import BeamlensError
from beamlens.telemetry import new_trace_id
from beamlens_actors import AbortSignal, ActorError, ActorRef, EventStream
from beamlens_supervision import SupervisionError

if TYPE_CHECKING:
    from beamlens.agent.core import AgentCore
    from beamlens.agent.limits import Limits
    from beamlens.agent.tool import Tool
    from beamlens.llm.client import LLMClient, Message


def run_agent(
    prompts: Said | Sequence[Said],
    *,
    client: LLMClient | None = None,
    system_prompt: str = "",
    tools: Sequence[Tool] = (),
    limits: Limits | None = None,
    history: Sequence[Message] = (),
    abort: AbortSignal | None = None,
    owner: ActorRef[Any] | None = None,
    capacity: int = 10_000,
    updates: bool = True,
    core: AgentCore | None = None,
) -> EventStream:
    """Run an agent once; returns at once.

    The stream carries the run's events, the last of them `AgentEnd`, and its result is the `RunOutcome`, with all
    messages of the run: also when nobody reads, and the stream is full. Cancelling the stream stops the run.

    Args:
        prompts: What the user says.
        client: Who answers.
        system_prompt: What the model is told first.
        tools: What it may call.
        limits: What ends the run, if it does not end by itself.
        history: The conversation before.
        abort: Stops the run too.
        owner: An actor whose end stops it.
        capacity: Most events that wait to be read; the model's pieces and partial results fill at most half.
        updates: Whether the stream has the model's answers in pieces; then a client that can is asked for a stream.
        core: What it runs on; by default one that all agents of the process share.

    Raises:
        ConfigError: What is said is neither text nor a message of the user.
        BeamlensError: The run could not be started.
    """
    ground = core or default_core()
    signal = (abort or AbortSignal()).child()
    stream = EventStream(owner=owner, capacity=capacity, timeout=None)
    messages = as_messages(prompts)
    loop = AgentLoop(
        ground.services,
        kind="agent",
        agent="run_agent",
        system=system_prompt,
        tools=tools,
        abort=signal,
        limits=limits,
        client=client,
        until="answer",
        fallback=False,
        stream=stream,
        updates=lambda: updates,
    )

    def run() -> None:
        # Completed here, before the task ends: its end without a result would be an error of the stream.
        stream.complete(loop.run(messages, new_trace_id(), history))

    try:
        task = ground.services.loop_tasks().run_nolink(run, name="run_agent", shutdown=GRACE)
    except (ActorError, SupervisionError) as error:
        stream.error("start_failed")
        raise BeamlensError(f"the run could not be started: {error}") from error
    task.add_done_callback(lambda _task: signal.abort("the run ended"))
    stream.attach_task(task, signal)
    return stream
