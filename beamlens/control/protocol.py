"""What the two sides say to each other.

Both begin with a hello; its form stays, whatever changes. Then the client asks, one question at a time, and the server
answers::

    {"beamlens": "0.1.0", "protocol": 1, "pid": 4711, "instance": "beamlens"}       the server's hello
    {"beamlens": "0.1.0", "protocol": 1}                                            the client's
    {"id": 1, "ask": "status", "timeout": 5.0, "with": {}}
    {"id": 1, "answer": {...}}   or   {"id": 1, "error": {"type": "Busy", "message": "..."}}
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self

from beamlens.control.errors import ProtocolError, VersionMismatch
from beamlens_actors import AbortSignal

VERSION = 1
"""Version of the protocol; both sides must have the same."""

MOST_REQUEST = 64_000
"""Bytes of a hello or a question."""

MOST_ANSWER = 4_000_000
"""Bytes of an answer."""

MOST_SECONDS = 30.0
"""Seconds for which a question may be answered at most, `LONG` ones excepted."""

LONG = {"ask": 900.0}
"""Kinds of questions that may take longer, with their seconds."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On which a question is answered.

    Attributes:
        seconds: How long that may take.
        abort: Is aborted when nobody waits for the answer any more.
    """

    seconds: float
    abort: AbortSignal


Handler = Callable[[Mapping[str, Any], Terms], Any]
"""Answers a kind of question: from its arguments and the terms, to JSON types. Runs on a thread of its own."""


@lru_cache(maxsize=1)
def package_version() -> str:
    """The version of Beamlens."""
    try:
        return importlib.metadata.version("beamlens")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def hello(**more: Any) -> dict[str, Any]:
    """What each side says first."""
    return {"beamlens": package_version(), "protocol": VERSION, **more}


def check_hello(message: Mapping[str, Any], whose: str) -> None:
    """Accept the other side's hello.

    Args:
        message: What it said.
        whose: Who said it, for the error.

    Raises:
        ProtocolError: It is no hello.
        VersionMismatch: It speaks another version.
    """
    theirs, package = message.get("protocol"), message.get("beamlens")
    if not isinstance(theirs, int) or isinstance(theirs, bool) or not isinstance(package, str):
        raise ProtocolError(f"{whose} does not speak the control protocol of Beamlens")
    if theirs != VERSION:
        raise VersionMismatch(
            f"{whose} speaks version {theirs} of the control protocol (Beamlens {package}), process {os.getpid()} "
            f"version {VERSION} (Beamlens {package_version()}); use the `beamlens` of the watched program's environment"
        )


@dataclass(frozen=True, slots=True)
class Question:
    """A question that was checked for its form.

    Attributes:
        number: The asker's, for the answer.
        kind: What is asked.
        arguments: Of what.
        seconds: How long the answer may take; never more than the kind allows.
        abort: Is aborted when nobody waits for the answer any more.
    """

    number: int
    kind: str
    arguments: Mapping[str, Any]
    seconds: float
    abort: AbortSignal = field(default_factory=AbortSignal, compare=False)

    @property
    def terms(self) -> Terms:
        """What its handler is told."""
        return Terms(self.seconds, self.abort)

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Self:
        """From a message.

        Raises:
            ProtocolError: It is no question.
        """
        number, kind = message.get("id"), message.get("ask")
        arguments, seconds = message.get("with", {}), message.get("timeout", MOST_SECONDS)
        if not isinstance(number, int) or not isinstance(kind, str) or not isinstance(arguments, dict):
            raise ProtocolError("what came is no question")
        if not isinstance(seconds, (int, float)) or not seconds > 0:
            raise ProtocolError("a question's timeout must be seconds above 0")
        return cls(number, kind, arguments, min(float(seconds), LONG.get(kind, MOST_SECONDS)))

    def message(self) -> dict[str, Any]:
        """As a message."""
        return {"id": self.number, "ask": self.kind, "timeout": self.seconds, "with": dict(self.arguments)}
