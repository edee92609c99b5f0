"""A server on loopback that plays the Messages API from a script, for the real SDK to talk to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.support.sse import Step, event, pieces, play


@dataclass
class Reply:
    """An HTTP answer."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hold: threading.Event | None = None
    drop: bool = False
    half: bool = False  # sends half of the body, then closes the connection
    trickle: bool = False  # sends spaces, one now and then, until the client goes away
    steps: list[Step] | None = None  # a stream instead of a body, see `sse`
    left: threading.Event = field(default_factory=threading.Event)  # the client went away in the middle of a stream


def message(*content: dict[str, Any], stop_reason: str | None = None, **usage: int) -> Reply:
    """A message of the model."""
    calls = any(block["type"] == "tool_use" for block in content)
    return Reply(
        body={
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5-20251001",
            "content": list(content),
            "stop_reason": stop_reason or ("tool_use" if calls else "end_turn"),
            "stop_sequence": None,
            "usage": {"input_tokens": 100, "output_tokens": 20, **usage},
        }
    )


def streamed(*content: dict[str, Any], stop_reason: str | None = None, **usage: int) -> Reply:
    """A message of the model, in pieces; `steps` of the reply may be changed."""
    whole = message(*content, stop_reason=stop_reason, **usage).body
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    steps = [event("message_start", message=begun), event("ping")]
    for index, block in enumerate(content):
        steps += _block_events(index, block)
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    steps.append(event("message_delta", delta=delta, usage={"output_tokens": whole["usage"]["output_tokens"]}))
    steps.append(event("message_stop"))
    return Reply(steps=list(steps))


def _block_events(index: int, block: dict[str, Any]) -> list[bytes]:
    kind = block["type"]
    if kind == "text":
        empty, deltas = {"text": ""}, [{"type": "text_delta", "text": part} for part in pieces(block["text"])]
    elif kind == "thinking":
        empty = {"thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": part} for part in pieces(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": "c2ln"})
    else:
        written = block["input"] if isinstance(block["input"], str) else json.dumps(block["input"])
        empty = {"input": {}}
        parts = () if written == "{}" else ("", *pieces(written))
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
    return [
        event("content_block_start", index=index, content_block={**block, **empty}),
        *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
        event("content_block_stop", index=index),
    ]


def text(words: str) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": words}


def thinking(words: str) -> dict[str, Any]:
    """A block of thoughts."""
    return {"type": "thinking", "thinking": words}


def tool_use(name: str, call_id: str = "toolu_1", **arguments: Any) -> dict[str, Any]:
    """A tool call."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def error(status: int, kind: str, words: str, **headers: str) -> Reply:
    """An error as the API words it."""
    body = {"type": "error", "error": {"type": kind, "message": words}}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class MessagesAPI:
    """The server; answers with its replies in order, the last one again and again, or as `respond` decides."""

    def __init__(self, *replies: Reply, respond: Callable[[dict[str, Any]], Reply] | None = None) -> None:
        self._replies = list(replies)
        self._respond = respond
        self._lock = threading.Lock()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.arrived = threading.Semaphore(0)
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                api._answer(self)

            def log_message(self, *_args: object) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:
                    pass  # the client went away

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        for reply in self._replies:
            if reply.hold is not None:
                reply.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self._lock:
            if self._respond is not None:
                reply = self._respond(body)
            else:
                reply = self._replies[min(len(self.requests), len(self._replies) - 1)]
            self.requests.append(body)
            self.paths.append(handler.path)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        self.arrived.release()
        if reply.hold is not None:
            reply.hold.wait(30)
        if reply.drop:
            handler.close_connection = True
            handler.connection.close()
            return
        if reply.steps is not None:
            handler.close_connection = True
            play(handler, reply.steps, reply.headers, reply.left)
            return
        data = reply.raw if reply.raw is not None else json.dumps(reply.body).encode()
        try:
            handler.send_response(reply.status)
            handler.send_header("content-type", "application/json")
            handler.send_header("content-length", str(1 << 20 if reply.trickle else len(data)))
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            while reply.trickle:
                handler.wfile.write(b" ")
                time.sleep(0.01)
            handler.wfile.write(data[: len(data) // 2] if reply.half else data)
            if reply.half:
                handler.close_connection = True
        except OSError:
            handler.close_connection = True
