"""Messages as they are kept: without secrets, and so that a model is shown the same as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from beamlens.llm.client import Message, Text, ToolCall, ToolOutput

if TYPE_CHECKING:
    from beamlens.agent.journal.records import Setup
    from beamlens.agent.services import Redacts


def kept(message: Message, redactor: Redacts) -> Message:
    """The message without secrets.

    Results are cut where the fence begins when they are sent, so both parts are redacted as they are then. A
    provider's own data about a call (``opaque``) has to come back unchanged, and does.
    """
    content = tuple(_block(block, redactor) for block in message.content)
    return message if content == message.content else dataclasses.replace(message, content=content)


def kept_setup(setup: Setup, redactor: Redacts) -> Setup:
    """A setup without secrets; of a tool's schema the texts only, as its keys are no values of theirs."""
    tools = tuple(
        dataclasses.replace(tool, description=redactor.text(tool.description), parameters=_texts(tool, redactor.text))
        for tool in setup.tools
    )
    return dataclasses.replace(setup, system_prompt=redactor.text(setup.system_prompt), tools=tools)


def _block(block: Text | ToolCall | ToolOutput, redactor: Redacts) -> Text | ToolCall | ToolOutput:
    if isinstance(block, Text):
        return dataclasses.replace(block, text=redactor.text(block.text))
    if isinstance(block, ToolCall):
        return dataclasses.replace(block, arguments=redactor.value(block.arguments))
    if not block.source:
        text = redactor.text(block.content)
        return block if text == block.content else dataclasses.replace(block, content=text, own=0)
    own, outside = redactor.text(block.content[: block.own]), redactor.text(block.content[block.own :])
    return dataclasses.replace(block, content=own + outside, own=len(own))


def _texts(tool: Any, redact: Callable[[str], str]) -> Any:
    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return redact(value)
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        return [walk(item) for item in value] if isinstance(value, list | tuple) else value

    return walk(dict(tool.parameters))
