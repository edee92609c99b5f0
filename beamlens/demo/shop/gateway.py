"""The payment and mail gateway: a process of its own, run as a script. Its standard input sets its mood."""

from __future__ import annotations

import asyncio
import sys

mood = "well"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            if mood == "silent":
                await asyncio.sleep(3600)
            await asyncio.sleep(0.005)
            writer.write(b"BUSY\n" if mood == "busy" and line.startswith(b"CHARGE") else b"OK\n")
            await writer.drain()
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def _main() -> None:
    global mood
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        mood = line.decode().strip()


if __name__ == "__main__":
    asyncio.run(_main())
