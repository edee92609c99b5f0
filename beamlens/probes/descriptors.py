"""Open descriptors: what they are, and which Python objects hold them."""

from __future__ import annotations

import _socket
import io
import os
import re
import socket
from collections import Counter
from typing import Any, Literal

Kind = Literal["file", "socket", "pipe", "other"]

_FOLDERS = ("/proc/self/fd", "/dev/fd")
_MOST = 65_536


def targets() -> dict[int, str]:
    """Descriptor to what it points at (a path, ``socket:[...]``); empty where the system does not tell."""
    for folder in _FOLDERS:
        try:
            names = os.listdir(folder)  # noqa: PTH208 - numbers are wanted, not paths
        except OSError:
            continue
        found = {}
        for name in names[:_MOST]:
            try:
                found[int(name)] = os.readlink(f"{folder}/{name}")  # noqa: PTH115 - text is wanted
            except (OSError, ValueError):  # closed meanwhile: the listing's own, for one
                continue
        return found
    return {}


def kind_of(target: str) -> Kind:
    """The kind of a target."""
    if target.startswith("socket:"):
        return "socket"
    if target.startswith("pipe:"):
        return "pipe"
    return "file" if target.startswith("/") else "other"


def describe(found: list[str]) -> str:
    """Targets in a few words, the most frequent first: ``24 sockets; 3 files like /tmp/x-#.log``."""
    groups = Counter(_group(target) for target in found)
    parts = []
    for (kind, pattern), count in groups.most_common(3):
        parts.append(f"{count} {kind}{'s' if count != 1 else ''}" + (f" like {pattern}" if pattern else ""))
    return "; ".join(parts)


def _group(target: str) -> tuple[Kind, str]:
    kind = kind_of(target)
    return kind, re.sub(r"[0-9a-f]{6,}|\d+", "#", target) if kind == "file" else ""


def descriptors_of(value: Any, depth: int = 3) -> list[int]:
    """Descriptors that an object holds, itself or in its attributes. Calls nothing of the user's."""
    number = _fileno(value)
    if number is not None:
        return [number]
    if depth <= 0:
        return []
    inner: list[Any] = []
    if isinstance(value, (tuple, list)):
        inner = list(tuple.__iter__(value) if isinstance(value, tuple) else list.__iter__(value))[:10]
    elif isinstance(value, dict):
        inner = list(dict.values(value))[:10]
    else:
        try:
            attributes = object.__getattribute__(value, "__dict__")
        except (AttributeError, TypeError):
            return []
        if type(attributes) is dict:
            inner = list(attributes.values())[:30]
    return [number for item in inner for number in descriptors_of(item, depth - 1)]


def _fileno(value: Any) -> int | None:
    try:
        if isinstance(value, _socket.socket):
            return _socket.socket.fileno(value)
        if isinstance(value, io.FileIO):
            return io.FileIO.fileno(value)
        if isinstance(value, io.BufferedReader | io.BufferedWriter | io.BufferedRandom):
            return _fileno(value.raw)
        if isinstance(value, io.TextIOWrapper):
            return _fileno(value.buffer)
        if isinstance(value, io.BufferedRWPair | socket.SocketIO):
            return None
    except (OSError, ValueError):  # closed, detached
        return None
    return None
