"""AnomalyStore: the actor that collects, at its interval, and saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beamlens.domains.anomaly.detector import Detector, Said
from beamlens.domains.anomaly.state_file import StateFile
from beamlens.domains.sources import Source, Surroundings
from beamlens_actors import Actor, ActorError, Crash, ExitReason, Killed, clock
from beamlens_actors.backends.threads import spawn
from beamlens_actors.words import in_words

if TYPE_CHECKING:
    from beamlens_actors import Timer

SENDER = "anomaly"


class _Collect:
    pass


class _Save:
    pass


@dataclass(frozen=True, slots=True)
class _Read:
    """A domain answered."""

    number: int
    domain: str
    values: Mapping[str, Any] | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Late:
    """A domain did not answer in time."""

    number: int
    domain: str


class AnomalyStore(Actor):
    """Reads one domain after the other, each on a thread of its own, and feeds the detector.

    It never waits for a domain: one that hangs costs its time limit once, is left out until it has answered, and has
    one thread at most.
    """

    def __init__(self, detector: Detector, surroundings: Surroundings, file: StateFile | None) -> None:
        super().__init__()
        self._detector = detector
        self._around = surroundings
        self._file = file
        self._number = 0
        self._left: list[tuple[str, Source]] = []
        self._values: dict[str, Mapping[str, Any]] = {}
        self._sources: Mapping[str, Source] = {}
        self._hanging: set[str] = set()
        self._late: Timer | None = None
        self._began = 0.0

    def on_start(self) -> None:
        """Go on where the last process stopped, and begin to collect."""
        if self._file is not None:
            if not self._detector.collections:  # else it outlived a store that crashed, and knows more than the file
                self._file.load(self._detector, self._emit)
            self.send_after(self._detector.options.auto_save_interval_ms / 1000, _Save())
        self.send_after(0.0, _Collect())

    def on_receive(self, message: Any) -> None:
        """Its own timers and threads."""
        match message:
            case _Collect():
                self._collect()
            case _Read():
                self._answered(message)
            case _Late(number=number, domain=domain):
                self._too_late(number, domain)
            case _Save() if self._file is not None:
                self._file.save(self._detector, self._emit)
                self.send_after(self._detector.options.auto_save_interval_ms / 1000, _Save())

    def on_terminate(self, reason: ExitReason) -> None:
        """Save, and let go of the file unless a restart follows."""
        if self._late is not None:
            self._late.cancel()
        if self._file is not None and not isinstance(reason, Crash | Killed):
            self._file.save(self._detector, self._emit)
            self._file.close()

    # -- a collection ----------------------------------------------------------------------------------------

    def _collect(self) -> None:
        self.send_after(self._detector.options.interval, _Collect())
        if self._left or self._late is not None:
            return  # the last collection has not ended: so many domains hang, or the interval is that short
        try:
            self._sources = dict(self._around.sources())
        except Exception as error:  # noqa: BLE001 - the application's code; the next collection tries again
            self._failed("", in_words(error))
            return
        self._number += 1
        self._began = clock.monotonic()
        self._values = {}
        self._left = [(name, source) for name, source in self._sources.items() if name not in self._hanging]
        self._next()

    def _next(self) -> None:
        if not self._left:
            self._finish()
            return
        name, source = self._left.pop(0)
        number = self._number
        self._late = self.send_after(self._detector.options.read_timeout_ms / 1000, _Late(number, name))
        try:
            spawn(lambda: self._tell(_read(number, name, source)), f"{SENDER}-reads-{name}")
        except RuntimeError as error:  # the system gives no more threads
            self._tell(_Read(number, name, None, str(error)))

    def _tell(self, message: _Read) -> None:
        try:
            self.actor_ref.tell(message)
        except ActorError:
            pass  # it has ended meanwhile

    def _answered(self, answer: _Read) -> None:
        if answer.domain in self._hanging:
            self._hanging.discard(answer.domain)
            return
        if answer.number != self._number or self._late is None:
            return
        self._late.cancel()
        self._late = None
        if answer.values is None:
            self._failed(answer.domain, answer.reason)
        else:
            self._values[answer.domain] = answer.values
        self._next()

    def _too_late(self, number: int, domain: str) -> None:
        if number != self._number or self._late is None:
            return
        self._late = None
        self._hanging.add(domain)
        self._failed(
            domain, f"no answer within {self._detector.options.read_timeout_ms:g} ms; left out until it answers"
        )
        self._next()

    def _finish(self) -> None:
        declared = {name: source.metrics for name, source in self._sources.items()}
        self._detector.collection_ms = (clock.monotonic() - self._began) * 1000
        for said in self._detector.take(clock.time(), self._values, declared):
            self._say(said)

    # -- events ----------------------------------------------------------------------------------------------

    def _failed(self, domain: str, reason: str) -> None:
        self._detector.failures += 1
        self._emit("anomaly.detector.metric_collection_failed", domain=domain, reason=reason[:500], trust="untrusted")

    def _say(self, said: Said) -> None:
        self._around.emit(said.name, SENDER, dict(said.measurements), **said.metadata)

    def _emit(self, name: str, measurements: Mapping[str, Any] | None = None, /, **metadata: Any) -> None:
        self._around.emit(name, SENDER, measurements, **metadata)


def _read(number: int, name: str, source: Source) -> _Read:
    try:
        values = dict(source.read())
    except BaseException as error:  # noqa: BLE001 - foreign code; it costs this answer and nothing else
        return _Read(number, name, None, in_words(error))
    return _Read(number, name, values)
