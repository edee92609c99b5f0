"""Serves a control socket on threads of its own: one that waits in `poll`, and one for each question under way.

A peer can hold up nothing but itself: its bytes, its time and its questions are bounded, and so is the number of peers.
"""

from __future__ import annotations

import errno
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from beamlens.control.address import Listener, addresses, remove_stale
from beamlens.control.answering import Answering
from beamlens.control.credentials import may_ask, peer_uid
from beamlens.control.errors import AccessRefused, Busy, ConnectionLost, ControlError
from beamlens.control.frames import frame
from beamlens.control.peer import Peer
from beamlens.control.protocol import MOST_ANSWER, Handler, Question, check_hello, hello
from beamlens.control.wire import error_to_wire
from beamlens_actors import AskTimeout
from beamlens_actors.backends.threads import spawn

logger = logging.getLogger("beamlens.control")

MOST_PEERS = 16
_PAUSE = 1.0
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)


class Server:
    """Serves one listener. `start` and `stop` may be called from any thread, all else is its own thread's."""

    def __init__(
        self,
        listener: Listener,
        handlers: Mapping[str, Handler],
        greeting: Mapping[str, Any],
        failed: Callable[[BaseException], object],
    ) -> None:
        """Make a server.

        Args:
            listener: What it takes over.
            handlers: Who answers, by kind of question.
            greeting: What its hello tells besides the versions.
            failed: Is told when it ends without having been asked to.
        """
        self._listener = listener
        self._hello = frame(hello(**greeting), MOST_ANSWER)
        self._failed = failed
        # Without state in the kernel, unlike epoll: a forked child shares nothing of it.
        self._selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)()
        self._waking, self._woken = socket.socketpair()
        self._peers: dict[Peer, None] = {}
        self._answering = Answering(handlers, self._wake)
        # Given up when the process has none left, so that even then it can be asked.
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY)
        self._paused_until = 0.0
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to serve.

        Raises:
            RuntimeError: The system gives no thread.
        """
        for sock in (self._waking, self._woken):
            sock.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._selector.register(self._listener.socket, selectors.EVENT_READ)
        self._thread = spawn(self._run, "beamlens-control")

    def stop(self, timeout: float = 0.5) -> None:
        """Stop serving, and remove the socket; again changes nothing."""
        self._stopping = True
        self._wake()
        thread = self._thread
        if thread is None:
            self._close()
        elif thread is not threading.current_thread():
            thread.join(timeout)

    def forget(self) -> None:
        """In a forked child: its descriptors are copies, through which a peer would wait for nobody."""
        for sock in (self._listener.socket, self._waking, self._woken, *(peer.socket for peer in self._peers)):
            sock.close()
        self._give_up_spare()
        self._peers = {}
        self._stopping = True

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._remove_stale()
            while not self._stopping:
                for key, ready in self._selector.select(self._patience()):
                    self._serve(key.fileobj, ready)
                self._send_answers()
                self._give_up()
        except BaseException as error:  # noqa: BLE001 - whoever supervises it decides
            if not self._stopping:
                self._failed(error)
        finally:
            self._close()

    def _remove_stale(self) -> None:
        for address in addresses(os.geteuid()):
            if address.path != self._listener.path:
                remove_stale(address)

    def _patience(self) -> float | None:
        dues = [peer.until for peer in self._peers]
        if self._paused_until:
            dues.append(self._paused_until)
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _serve(self, source: Any, ready: int) -> None:
        if source is self._woken:
            with suppress(BlockingIOError):
                self._woken.recv(4096)
        elif source is self._listener.socket:
            self._accept()
        else:
            peer = next((one for one in self._peers if one.socket is source), None)
            if peer is not None:
                self._guarded(peer, partial(self._exchange, peer, ready))

    def _guarded(self, peer: Peer, step: Callable[[], None]) -> None:
        """Whatever a peer brings about ends that peer and nothing else."""
        try:
            step()
            if peer.last and not peer.sending:
                self._drop(peer)
            else:
                self._expect(peer)
        except (ConnectionLost, OSError):
            self._drop(peer)
        except ControlError as error:
            self._refuse(peer, error)
        except Exception:
            logger.exception("a peer of the control socket was given up")
            self._drop(peer)

    def _exchange(self, peer: Peer, ready: int) -> None:
        if ready & selectors.EVENT_WRITE:
            peer.flush()
        if ready & selectors.EVENT_READ:
            peer.receive()
        self._advance(peer)

    def _advance(self, peer: Peer) -> None:
        """Take one message after the other, for as long as nothing is under way."""
        while peer.question is None and not peer.sending and (message := peer.message()) is not None:
            if peer.greeted:
                self._ask(peer, Question.read(message))
            else:
                check_hello(message, "the asking program")
                peer.greeted = True

    def _expect(self, peer: Peer) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.sending else 0)
        if self._selector.get_key(peer.socket).events != wanted:
            self._selector.modify(peer.socket, wanted)

    def _refuse(self, peer: Peer, error: ControlError) -> None:
        """Tell a peer why it is given up, if it still listens."""
        peer.last = True
        try:
            peer.send({"id": None, "error": error_to_wire(error)})
        except ControlError:
            pass
        # What does not fit into the socket's buffer is not waited for.
        self._drop(peer)

    def _drop(self, peer: Peer) -> None:
        if self._peers.pop(peer, self) is not None:
            return
        with suppress(KeyError, ValueError):
            self._selector.unregister(peer.socket)
        peer.socket.close()
        if peer.question is not None:
            peer.question.abort.abort("who asked has left")
        if self._spare is None:
            self._renew_spare()

    # -- connections -----------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            sock, _place = self._listener.socket.accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                self._without_descriptors()
            return
        peer = Peer(sock)
        uid = peer_uid(sock)
        self._peers[peer] = None
        self._selector.register(sock, selectors.EVENT_READ)
        if not may_ask(uid):
            self._refuse(peer, AccessRefused(f"process {os.getpid()} belongs to user {os.geteuid()}, not to {uid}"))
        elif len(self._peers) > MOST_PEERS:
            self._refuse(peer, Busy(f"process {os.getpid()} talks to {MOST_PEERS} others already; try again"))
        else:
            self._guarded(peer, partial(peer.send, self._hello))

    def _without_descriptors(self) -> None:
        if self._spare is not None:
            self._give_up_spare()
            return  # `poll` tells of the peer again
        self._selector.unregister(self._listener.socket)
        self._paused_until = time.monotonic() + _PAUSE

    def _give_up_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _renew_spare(self) -> None:
        with suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY)

    def _give_up(self) -> None:
        now = time.monotonic()
        if self._paused_until and now >= self._paused_until:
            self._paused_until = 0.0
            self._selector.register(self._listener.socket, selectors.EVENT_READ)
        for peer in [one for one in self._peers if now >= one.until]:
            if peer.question is None or peer.sending:
                self._drop(peer)
            else:
                late, peer.question = peer.question, None
                late.abort.abort("too late")
                text = f"process {os.getpid()} did not answer {late.kind!r} within {late.seconds:g} s"
                self._guarded(peer, partial(self._reply, peer, late, AskTimeout(text)))

    # -- questions -------------------------------------------------------------------------------------------

    def _ask(self, peer: Peer, question: Question) -> None:
        peer.question, peer.asked_until = question, time.monotonic() + question.seconds
        try:
            self._answering.begin(peer, question)
        except ControlError as error:
            peer.question = None
            self._reply(peer, question, error)

    def _reply(self, peer: Peer, question: Question, error: Exception) -> None:
        peer.send({"id": question.number, "error": error_to_wire(error)})

    def _send_answers(self) -> None:
        for peer, question, data in self._answering.take():
            # One that came too late is dropped.
            if peer.question is question and peer in self._peers:
                peer.question = None
                self._guarded(peer, partial(self._send_and_go_on, peer, data))

    def _send_and_go_on(self, peer: Peer, data: bytes) -> None:
        peer.send(data)
        self._advance(peer)

    # -- the end ---------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        with suppress(OSError):
            self._waking.send(b"\0")

    def _close(self) -> None:
        self._listener.close()
        for peer in list(self._peers):
            self._drop(peer)
        self._selector.close()
        self._waking.close()
        self._woken.close()
        self._give_up_spare()
