"""What a test hears of an answer that comes in pieces."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from beamlens.errors import LLMError
from beamlens.llm.deltas import Delta


class Heard(list[Delta]):
    """The pieces of an answer; `first` is set with the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first = threading.Event()

    def __call__(self, delta: Delta) -> None:
        self.append(delta)
        self.first.set()

    def of(self, kind: str, index: int = 0) -> str:
        """All that was said of a kind; of tool calls, that of one of them."""
        return "".join(delta.text for delta in self if (delta.kind, delta.index) == (kind, index))


def error_of(call: Callable[..., Any], *args: Any) -> LLMError:
    """How a call fails."""
    with pytest.raises(LLMError) as caught:
        call(*args)
    return caught.value
