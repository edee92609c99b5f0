"""Answers that come as streams, as both APIs send them: events, and what may go wrong between them."""

from __future__ import annotations

import json
import socket
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from enum import Enum
from http.server import BaseHTTPRequestHandler
from typing import Any


class Trouble(Enum):
    """What a server does in the middle of a stream."""

    RESET = "closes the connection, without the end of the stream"
    END = "ends the stream as if it were whole"
    SILENCE = "sends nothing more, and waits for the client to go away"
    DRIP = "sends the last step again and again, slowly, until the client goes away"


Step = bytes | threading.Event | Trouble
"""What to send, what to wait for, or what goes wrong."""


def play(
    handler: BaseHTTPRequestHandler, steps: Sequence[Step], headers: dict[str, str], left: threading.Event
) -> None:
    """Send a stream in chunks; `left` is set when the client goes away first."""
    handler.send_response(200)
    for name, value in {"content-type": "text/event-stream", **headers}.items():
        handler.send_header(name, value)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    last = b""
    try:
        for step in steps:
            if isinstance(step, bytes):
                last = step
                _send(handler, step)
            elif isinstance(step, threading.Event):
                step.wait(30)
            elif step is Trouble.RESET:
                handler.connection.shutdown(socket.SHUT_RDWR)
                return
            elif step is Trouble.END:
                break
            else:
                _until_left(handler, last if step is Trouble.DRIP else b"")
                left.set()
                return
        handler.wfile.write(b"0\r\n\r\n")
    except OSError:
        left.set()


def _send(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))


def _until_left(handler: BaseHTTPRequestHandler, drop: bytes) -> None:
    handler.connection.settimeout(0.01 if drop else 30)
    while True:
        try:
            if not handler.connection.recv(1):
                return
        except TimeoutError:
            if not drop:
                raise
            _send(handler, drop)


def event(kind: str, /, **data: Any) -> bytes:
    """An event of the Messages API."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def chunk(data: Any) -> bytes:
    """A chunk of the Chat Completions API."""
    return f"data: {json.dumps(data)}\n\n".encode()


DONE = b"data: [DONE]\n\n"


def pieces(text: str, size: int = 5) -> Iterator[str]:
    """A text in pieces."""
    return (text[start : start + size] for start in range(0, len(text), size))


def as_aws(steps: Sequence[Step]) -> list[Step]:
    """The events of a stream as Amazon Bedrock frames them."""
    return [_frame(step) if isinstance(step, bytes) else step for step in steps]


def aws_exception(kind: str, words: str) -> bytes:
    """An error as Amazon Bedrock sends it in a stream."""
    return _framed({":message-type": "exception", ":exception-type": kind}, json.dumps({"message": words}).encode())


def _frame(sent: bytes) -> bytes:
    import base64

    data = sent.decode().partition("data: ")[2].strip().encode()
    body = json.dumps({"bytes": base64.b64encode(data).decode()}).encode()
    return _framed({":message-type": "event", ":event-type": "chunk"}, body)


def _framed(headers: dict[str, str], body: bytes) -> bytes:
    headers = {**headers, ":content-type": "application/json"}
    packed = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(packed) + len(body), len(packed))
    prelude += struct.pack("!I", zlib.crc32(prelude))
    return prelude + packed + body + struct.pack("!I", zlib.crc32(prelude + packed + body))
