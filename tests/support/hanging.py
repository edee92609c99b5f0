"""Stands between a client and a server on local sockets, and stops passing on what they say."""

from __future__ import annotations

import selectors
import socket
import tempfile
import threading
from pathlib import Path


class HangingProxy:
    """Passes bytes on until `hang` is called: then it still accepts, and nothing moves until `recover`."""

    def __init__(self, target: Path) -> None:
        self._target = str(target)
        self._folder = tempfile.TemporaryDirectory(prefix="bl-proxy-")
        self.folder = Path(self._folder.name)
        self._peers: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / target.name))
        self._listener.listen()
        self._wake, self._woken = socket.socketpair()
        for one in (self._listener, self._woken):
            self._selector.register(one, selectors.EVENT_READ)
        self._hangs = False
        self._over = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def hang(self) -> None:
        """Pass nothing on any more."""
        self._tell(hangs=True)

    def recover(self) -> None:
        """Pass on again, also what was said meanwhile."""
        self._tell(hangs=False)

    def _tell(self, *, hangs: bool) -> None:
        self._hangs = hangs
        self._done.clear()
        self._wake.send(b"x")
        assert self._done.wait(10)

    def close(self) -> None:
        self._over = True
        self._wake.send(b"x")
        self._thread.join()
        for one in (*self._peers, self._listener, self._wake, self._woken):
            one.close()
        self._selector.close()
        self._folder.cleanup()

    def _run(self) -> None:
        while not self._over:
            for key, _ in self._selector.select():
                one = key.fileobj
                assert isinstance(one, socket.socket)
                if one is self._woken:
                    one.recv(100)
                    self._watch()
                    self._done.set()
                elif one is self._listener:
                    self._accept()
                elif one in self._peers:
                    self._pass_on(one)

    def _watch(self) -> None:
        """Listen to nobody while it hangs."""
        for one in self._peers:
            watched = one in self._selector.get_map()
            if self._hangs and watched:
                self._selector.unregister(one)
            elif not self._hangs and not watched:
                self._selector.register(one, selectors.EVENT_READ)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._target)
        self._peers[client], self._peers[server] = server, client
        self._watch()

    def _pass_on(self, one: socket.socket) -> None:
        other = self._peers[one]
        try:
            data = one.recv(65536)
            if data:
                other.sendall(data)
        except OSError:
            data = b""
        if not data:
            for end in (one, other):
                if end in self._selector.get_map():
                    self._selector.unregister(end)
                self._peers.pop(end)
                end.close()
