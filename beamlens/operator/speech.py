"""Answering a question about what an operator has seen: one model call, which neither disturbs a run nor is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from beamlens.errors import LLMError
from beamlens.findings import Investigation, OperatorAnswer
from beamlens.findings.closer_look import nearest
from beamlens.telemetry import new_trace_id
from beamlens.telemetry import run as runs

if TYPE_CHECKING:
    from beamlens.agent.services import Services
    from beamlens.llm.client import Completion, LLMClient, Message, Text
    from beamlens.operator.lending import Lender
    from beamlens_actors import AbortSignal

_MOST_TOKENS = 1024
_MOST_LINES = 50
_SNAPSHOT_TIMEOUT = 10.0
_ASKED = "You are asked a question. Answer it with the tool answer, from what you have seen; you cannot look again now."


@dataclass(frozen=True, slots=True)
class Memory:
    """What an operator knows.

    Attributes:
        system: Its system prompt.
        messages: The conversation so far.
        facts: The same for the offline analyst.
    """

    system: str
    messages: tuple[Message, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def glance(services: Services, name: str, lender: Lender, abort: AbortSignal) -> Memory:
    """What is known to one that has not looked yet: a snapshot of now.

    Raises:
        ToolError: The domain failed.
        TimeoutError: It took too long.
        Aborted: The signal fired.
    """
    from beamlens.agent.supervised import Supervised
    from beamlens.llm.client import Message, Text
    from beamlens.operator.prompt import system_prompt

    lent = lender()
    try:
        found = Investigation(
            services,
            lent.domain,
            kind="operator",
            agent=name,
            publish=lambda _alert: "",
            recording_since=lent.recording_since,
        )
        snapshot = Supervised(services.tool_tasks(), found.take_snapshot, f"{name}:snapshot").result(
            _SNAPSHOT_TIMEOUT, abort
        )
        sensors = () if lent.watching is None else lent.watching.active()
        parts: list[Text] = [Text("A snapshot of now:"), Text(snapshot.model_dump_json(), source=lent.domain.name)]
        facts = {
            "role": "operator",
            "domain": lent.domain.name,
            "state": found.health,
            "sensors": sensors,
            "observations": [],
            "nearest": nearest(lent.domain.metrics, snapshot.data),
        }
        return Memory(system_prompt(lent.domain), (Message("user", tuple(parts)),), facts)
    finally:
        lent.give_back()


def answer(
    services: Services,
    name: str,
    memory: Memory,
    prompt: str,
    *,
    running: bool,
    client: LLMClient | None,
    abort: AbortSignal,
) -> OperatorAnswer:
    """Answer a question; blocks.

    Args:
        services: The instance.
        name: The operator.
        memory: What it knows; left as it is.
        prompt: The question; text from outside.
        running: Whether a run is in progress.
        client: Who answers; by default the instance's primary client.
        abort: Ends the call.

    Raises:
        LLMError: The model failed, or answered nothing.
        Aborted: The signal fired.
    """
    from beamlens.agent.model import Model
    from beamlens.agent.tool import Tool
    from beamlens.agent.transcript import Transcript
    from beamlens.llm.client import Message, Request, Text
    from beamlens.operator.tools import Answer

    talk = Transcript(memory.messages)
    talk.add(Message("user", (Text(_ASKED), Text(prompt, source="question"))))
    talk.check()
    run = services.bus.begin(new_trace_id())
    token = runs.current.set(run)
    try:
        request = Request(
            system=memory.system,
            messages=talk.messages,
            tools=(Tool("answer", lambda _arguments: None, Answer).spec(),),
            facts={**memory.facts, "question": prompt, "running": running},
            max_tokens=_MOST_TOKENS,
            timeout=services.llm_timeout,
            agent=name,
            trace_id=run.trace_id,
        )
        return _read(Model(services, "operator", name, client).complete(request, 0, abort), name)
    finally:
        run.close()
        runs.current.reset(token)


def _read(completion: Completion, name: str) -> OperatorAnswer:
    from beamlens.operator.tools import Answer

    for call in completion.tool_calls:
        try:
            given = Answer.model_validate(call.arguments)
        except ValidationError:
            continue
        return OperatorAnswer(given.summary, tuple(given.findings[:_MOST_LINES]), tuple(given.concerns[:_MOST_LINES]))
    if text := completion.text.strip():
        return OperatorAnswer(text)
    raise LLMError(f"the model of {name} gave no answer", kind="response", retryable=True)
