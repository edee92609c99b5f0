"""What the findings share: ids, aware times, and their msgpack form."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from beamlens_actors import clock

AwareTime = Annotated[AwareDatetime, AfterValidator(lambda time: time.astimezone(UTC))]


def new_id() -> str:
    """16 hex digits."""
    return secrets.token_hex(8)


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.fromtimestamp(clock.time(), UTC)


class Wire(BaseModel):
    """A frozen model with a msgpack form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_msgpack(self) -> bytes:
        """As msgpack: a map of JSON types, times as ISO 8601 text."""
        import msgpack

        pack: Any = msgpack.packb
        # A name that is no UTF-8 has lone surrogates in Python; they cannot be encoded otherwise.
        packed: bytes = pack(self.model_dump(mode="json"), unicode_errors="backslashreplace")
        return packed

    @classmethod
    def from_msgpack(cls, data: bytes) -> Self:
        """Undo `to_msgpack`.

        Raises:
            ValueError: It is no msgpack, or not of this model.
        """
        import msgpack

        try:
            plain = msgpack.unpackb(data)
        except Exception as error:
            raise ValueError(f"not msgpack: {error}") from error
        return cls.model_validate(plain)
