"""What watchers, operators and the Coordinator went through, kept to be replayed."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from beamlens.agent.events import AgentEnd, AgentEvent, MessageEnd

if TYPE_CHECKING:
    from beamlens.agent.events import Listener
    from beamlens.agent.journal import Setup
    from beamlens.agent.limits import Limits
    from beamlens.agent.services import Redacts
    from beamlens.llm.client import ToolSpec
    from beamlens_supervision import TaskSupervisorRef

FOLDER = "investigations"
MOST_FILES = 200
MOST_BYTES = 64_000_000

_log = logging.getLogger("beamlens.agent")


class KeepsInvestigations(Protocol):
    """Is told of each run of a watcher, an operator or the Coordinator as it begins."""

    def listener(self, agent: str, system: str, tools: tuple[ToolSpec, ...], model: str, limits: Limits) -> Listener:
        """What is to hear the run's events."""
        ...


class Investigations:
    """Writes one journal for each run, when it has ended, into the folder ``investigations`` of a state directory.

    A task of its own writes it: no run waits for a disk. The newest 200 files are kept, and at most 64 MB of them.
    """

    def __init__(
        self,
        state_dir: Path,
        redactor: Redacts,
        tasks: Callable[[], TaskSupervisorRef],
        *,
        most_files: int = MOST_FILES,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Nothing is made before the first run has ended.

        Args:
            state_dir: The folder is made in it.
            redactor: Takes secrets out of all that is written.
            tasks: Where the writing runs.
            most_files: Files that are kept.
            most_bytes: Bytes that are kept.
        """
        self._state_dir = state_dir
        self._redactor = redactor
        self._tasks = tasks
        self._most_files = most_files
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._failing = False

    def listener(self, agent: str, system: str, tools: tuple[ToolSpec, ...], model: str, limits: Limits) -> Listener:
        """See `KeepsInvestigations`."""
        heard: list[AgentEvent] = []

        def write() -> None:
            from beamlens.agent.journal import Setup

            setup = Setup(system, tools, model=model, limits=dataclasses.asdict(limits))
            self._write(agent, setup, tuple(heard))

        def hear(event: AgentEvent) -> None:
            if isinstance(event, MessageEnd | AgentEnd):
                heard.append(event)
            if isinstance(event, AgentEnd):
                try:
                    self._tasks().run_nolink(write, name=f"{agent}:journal", shutdown=1.0)
                except Exception:  # noqa: BLE001 - no thread, or all of it ends: the run itself is unharmed
                    _log.debug("an investigation of %s is not kept", agent, exc_info=True)

        return hear

    def _write(self, agent: str, setup: Setup, heard: tuple[AgentEvent, ...]) -> None:
        from beamlens.agent.journal import JournalWriter

        # The trace is what an alert carries too.
        name = f"{agent}-{heard[-1].trace_id}-{heard[-1].run_id}"
        with self._lock:
            writer = JournalWriter.create(
                self._state_dir, name, setup, redactor=self._redactor, fsync="never", tell=self._told, folder=FOLDER
            )
            for event in heard:
                writer.offer(event)
            kept = writer.flush()
            writer.close(discard=not kept)
            if kept:
                self._failing = False
            self._forget()

    def _told(self, what: str, reason: str, _unwritten: int) -> None:
        if what == "failed" and not self._failing:
            self._failing = True
            _log.warning("investigations cannot be kept in %s: %s", self._state_dir / FOLDER, reason)

    def _forget(self) -> None:
        """Remove the oldest, so that neither there are too many nor they are too large. Another process may as well."""
        found = []
        for path in (self._state_dir / FOLDER).glob("*.jsonl"):
            try:
                about = path.stat()
            except OSError:
                continue
            found.append((about.st_mtime_ns, path, about.st_size))
        size = 0
        for number, (_, path, bytes_) in enumerate(sorted(found, reverse=True), 1):
            size += bytes_
            if number > self._most_files or size > self._most_bytes:
                path.unlink(missing_ok=True)
