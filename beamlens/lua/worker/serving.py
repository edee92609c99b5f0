"""The worker's loop: takes code from its pipe, answers, until the pipe ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from beamlens.lua.worker.box import Box
from beamlens.lua.worker.confinement import confine, limit_processor
from beamlens.lua.worker.syscalls import filter_calls

_SPARE = 0.2  # of the time, but at most so many seconds: the code is stopped before the host must kill
_GRACE = 1.0


def serve(memory_mb: int) -> None:
    """Confine this process, say so, and run what comes."""
    import lupa.lua54  # noqa: F401 - before files are out of reach
    import msgpack

    source = Path(__file__).with_name("box.lua").read_bytes()
    pipe = _Pipe(msgpack)
    trial = Box(source, memory_mb * 1_000_000, pipe.ask).run(b"return 1", [], 5.0)  # loads what loads late
    if trial != {"ok": 1}:
        raise SystemExit(f"Lua does not work here: {trial}")
    pipe.let_go_of_stderr()
    confine(memory_mb)
    filter_calls()
    pipe.send({"ready": 1})
    while (message := pipe.receive()) is not None:
        seconds = float(message["seconds"])
        # Should the host die while the code runs, nobody else would stop it.
        signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE)
        limit_processor(seconds + _GRACE)
        box = Box(source, memory_mb * 1_000_000, pipe.ask)
        answer = box.run(message["run"], message["names"], seconds - min(_SPARE, 0.2 * seconds))
        del box
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        pipe.send(answer)
    os._exit(0)  # the host is gone; nothing is left to tidy, and little is allowed


class _Pipe:
    """The conversation with the host, in the same frames as `beamlens.lua.channel`, without deadlines."""

    def __init__(self, msgpack: Any) -> None:
        self._pack, self._unpack = msgpack.packb, msgpack.unpackb
        self._in, self._out = os.dup(0), os.dup(1)
        self._null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1):
            os.dup2(self._null, number)

    def let_go_of_stderr(self) -> None:
        os.dup2(self._null, 2)
        os.close(self._null)

    def ask(self, name: str, arguments: list[Any]) -> dict[str, Any]:
        self.send({"call": name, "args": arguments})
        answer = self.receive()
        if answer is None:
            os._exit(0)  # the host is gone
        return answer

    def receive(self) -> dict[str, Any] | None:
        header = self._read(4)
        body = None if header is None else self._read(int.from_bytes(header, "big"))
        if body is None:
            return None
        message = self._unpack(body, raw=True, strict_map_key=False)
        return {key.decode(): value for key, value in message.items()}

    def send(self, message: dict[str, Any]) -> None:
        body = self._pack(message)
        data = len(body).to_bytes(4, "big") + body
        while data:
            data = data[os.write(self._out, data) :]

    def _read(self, size: int) -> bytes | None:
        parts = []
        while size > 0:
            part = os.read(self._in, min(size, 1 << 16))
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
