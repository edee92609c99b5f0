"""A tool's value as the model reads it, whatever its size and kind."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from beamlens_actors.words import in_words

MOST = 20_000
"""Characters of a result that the model is shown."""

_AS_TEXT = (dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID, pathlib.PurePath, Exception)


class Unserialisable(TypeError):  # noqa: N818 - as the other errors are named
    """A value that cannot be shown to a model."""


def render(value: Any, *, most: int = MOST) -> str:
    """A tool's value as the model reads it: text as it is, anything else as JSON, cut at `most` characters.

    The work is bounded too: what would be cut is not encoded.

    Raises:
        Unserialisable: It is neither text nor anything that JSON can say.
    """
    if isinstance(value, str):
        text, total = value, f"{len(value) - most} of {len(value)} characters are not shown"
    else:
        text, total = _encode(value, most), f"only the first {most} characters are shown"
    return f"{text[:most]}\n[cut: {total}; ask for less]" if len(text) > most else text


def _encode(value: Any, most: int) -> str:
    parts, length = [], 0
    try:
        # In pieces: one call for 50 MB would hold the interpreter, and with it the host, for half a second.
        for part in json.JSONEncoder(default=_plain, ensure_ascii=False).iterencode(value):
            parts.append(part[: most + 1])
            length += len(part)
            if length > most:
                break
    except (TypeError, ValueError, RecursionError) as error:
        raise Unserialisable(in_words(error)) from error
    return "".join(parts)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, _AS_TEXT):
        return str(value)
    # The repr of anything else is mostly an address in memory, which a model would take for information.
    raise Unserialisable(f"a {type(value).__name__} cannot be shown as JSON")
