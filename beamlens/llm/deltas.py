"""An answer while it comes: its pieces, and asking a client for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from beamlens.llm.client import Completion, LLMClient, Request
    from beamlens_actors import AbortSignal

DeltaKind = Literal["text", "thinking", "tool_call"]


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer.

    Attributes:
        kind: ``text``, ``thinking`` or ``tool_call``.
        text: What is new of it: words, thoughts, or a part of the JSON text of a call's arguments. All pieces of kind
            ``text`` together are the completion's text. Empty only where a call begins.
        index: Which call of the answer, from 0; 0 for words and thoughts.
        call_id: The provider's id of the call; empty where it gives none.
        tool_name: The tool's name, as the model wrote it.
    """

    kind: DeltaKind
    text: str
    index: int = 0
    call_id: str = ""
    tool_name: str = ""

    def continues(self, other: Delta) -> bool:
        """Whether it goes on with the same words, thoughts or call as `other`."""
        return self.kind == other.kind and self.index == other.index


OnDelta = Callable[[Delta], object]
"""Takes the pieces of one answer in order, on the client's thread; must be quick. What it raises ends the call."""


class Told:
    """Hands pieces on, and knows whether there were any."""

    def __init__(self, on_delta: OnDelta) -> None:
        self._on_delta = on_delta
        self.any = False

    def __call__(self, delta: Delta) -> None:
        """Hand a piece on."""
        self.any = True
        self._on_delta(delta)


def complete(client: LLMClient, request: Request, *, abort: AbortSignal, on_delta: OnDelta | None = None) -> Completion:
    """Have a client answer, and tell the pieces if it can: if its ``complete`` takes ``on_delta``."""
    extra: dict[str, Any] = {}
    if on_delta is not None and takes_deltas(client):
        extra["on_delta"] = on_delta
    return client.complete(request, abort=abort, **extra)


def takes_deltas(client: LLMClient) -> bool:
    """Whether a client can tell the pieces of its answers."""
    function = getattr(type(client), "complete", None)
    return _takes(client.complete) if function is None else _known(function)


def _takes(function: Callable[..., Any]) -> bool:
    try:
        return "on_delta" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


_known = lru_cache(maxsize=128)(_takes)
