"""Has questions answered, each on a thread of its own, a bounded number at once."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from beamlens.control.errors import Busy, ProtocolError
from beamlens.control.frames import frame
from beamlens.control.peer import Peer
from beamlens.control.protocol import LONG, MOST_ANSWER, Handler, Question
from beamlens.control.wire import error_to_wire, plain
from beamlens_actors.backends.threads import spawn

MOST_QUESTIONS = 8
MOST_LONG_QUESTIONS = 2


class Answering:
    """Long questions have places of their own, so that short ones are always answered."""

    def __init__(self, handlers: Mapping[str, Handler], answered: Callable[[], object]) -> None:
        """Answer with these.

        Args:
            handlers: By kind of question.
            answered: Is called, on any thread, when there is something to `take`.
        """
        self._handlers = handlers
        self._answered = answered
        self._working: Counter[bool] = Counter()
        self._places = threading.Lock()
        self._answers: deque[tuple[Peer, Question, bytes]] = deque()

    def begin(self, peer: Peer, question: Question) -> None:
        """Begin to answer.

        Raises:
            ProtocolError: Nothing answers such questions; names those that are answered.
            Busy: There is no place, or no thread.
        """
        handler, long = self._handlers.get(question.kind), question.kind in LONG
        if handler is None:
            kinds = ", ".join(sorted(self._handlers))
            raise ProtocolError(f"nothing answers {question.kind!r}; there is: {kinds}")
        with self._places:
            free = self._working[long] < (MOST_LONG_QUESTIONS if long else MOST_QUESTIONS)
            self._working[long] += free
        if not free:
            raise Busy(f"process {os.getpid()} answers as many as it can; try again")
        try:
            spawn(partial(self._work, peer, question, handler), "beamlens-control-answer")
        except RuntimeError as error:
            self._leave(long)
            raise Busy(f"process {os.getpid()} can start no thread: {error}") from error

    def take(self) -> Iterator[tuple[Peer, Question, bytes]]:
        """What was answered since: who asked what, and the frame to send."""
        while self._answers:
            yield self._answers.popleft()

    def _work(self, peer: Peer, question: Question, handler: Handler) -> None:
        try:
            answer = plain(handler(question.arguments, question.terms))
            data = frame({"id": question.number, "answer": answer}, MOST_ANSWER)
        except BaseException as error:  # noqa: BLE001 - domains are foreign code
            data = frame({"id": question.number, "error": error_to_wire(error)}, MOST_ANSWER)
        finally:
            self._leave(question.kind in LONG)
        self._answers.append((peer, question, data))
        self._answered()

    def _leave(self, long: bool) -> None:
        with self._places:
            self._working[long] -= 1
