"""Frames: four bytes of length, then a map in msgpack."""

from __future__ import annotations

from typing import Any

from beamlens.control.errors import ProtocolError

_HEADER = 4


def frame(message: dict[str, Any], most: int) -> bytes:
    """A message as a frame.

    Args:
        message: A map of JSON types.
        most: Bytes that its body may have.

    Raises:
        ProtocolError: It is larger, or holds what msgpack cannot.
    """
    import msgpack

    try:
        # A name that is no UTF-8 has lone surrogates in Python; they cannot be encoded otherwise.
        pack: Any = msgpack.packb
        body: bytes = pack(message, unicode_errors="backslashreplace")
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"a message cannot be encoded: {error}") from error
    if len(body) > most:
        raise ProtocolError(f"a message of {len(body)} bytes is too large; at most {most} are sent")
    return len(body).to_bytes(_HEADER, "big") + body


class FrameReader:
    """Puts frames together from pieces, holding no more than one frame and one piece of the next."""

    def __init__(self, most: int) -> None:
        """Read frames whose body has at most `most` bytes."""
        self._most = most
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes that wait: a frame that was not taken yet, or a part of one."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add what came.

        Raises:
            ProtocolError: A frame announces more than is allowed, or more came than anybody waits for.
        """
        self._buffer += data
        self._size()
        if len(self._buffer) > 2 * (self._most + _HEADER):
            raise ProtocolError("more was sent than was asked for")

    def take(self) -> dict[str, Any] | None:
        """The next message, once it is whole.

        Raises:
            ProtocolError: It is no map in msgpack.
        """
        size = self._size()
        if size is None or len(self._buffer) < _HEADER + size:
            return None
        body = bytes(self._buffer[_HEADER : _HEADER + size])
        del self._buffer[: _HEADER + size]
        return _decode(body)

    def _size(self) -> int | None:
        if len(self._buffer) < _HEADER:
            return None
        size = int.from_bytes(self._buffer[:_HEADER], "big")
        if size > self._most:
            raise ProtocolError(f"a frame of {size} bytes was announced; at most {self._most} are taken")
        return size


def _decode(body: bytes) -> dict[str, Any]:
    import msgpack

    try:
        message: object = msgpack.unpackb(body, ext_hook=_no_extension)
    except Exception as error:  # its own, ValueError, TypeError, RecursionError: it is not to be trusted
        raise ProtocolError(f"what came is no msgpack: {type(error).__name__}") from error
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise ProtocolError("what came is no map with names")
    return message


def _no_extension(code: int, _data: bytes) -> object:
    raise ValueError(f"the extension type {code} is not taken")
