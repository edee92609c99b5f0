"""One process of a run: `python -m benchmarks.actors.child JOB`, where JOB is the JSON of a `Job`.

Writes a line of JSON for what it connected to and for each measure as it ends, so that a process that hangs loses
only what it hangs in. It goes to a file: a peer may print, or leave processes that keep a pipe open.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.actors.measures import MissingError, NotOfferedError, Peer
from benchmarks.suite import get_suite


@dataclass(frozen=True, slots=True)
class Job:
    """What a process is to do: measures with their counts, in order."""

    suite: str
    runtime: str
    counts: dict[str, int]
    pinned: bool
    output: str

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def main(job: Job) -> None:
    """Measure and write."""
    if job.pinned:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    logging.disable(logging.CRITICAL)
    with Path(job.output).open("a", encoding="utf-8") as file:

        def write(**line: Any) -> None:
            file.write(json.dumps(line) + "\n")
            file.flush()

        try:
            peer = get_suite(job.suite).runtimes[job.runtime].connect()
        except MissingError as error:
            write(missing=str(error))
            return
        write(version=peer.version)
        for name, count in job.counts.items():
            write(measure=name, **_one(peer, name, count))
        write(finished=True)
        peer.close()


def _one(peer: Peer, name: str, count: int) -> dict[str, Any]:
    try:
        finding = peer.measure(name, count)
    except NotOfferedError as error:
        return {"not_offered": str(error)}
    except Exception as error:  # noqa: BLE001 - a peer that fails at one thing is measured at the others
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}
    return {"count": count, "values": finding.values, "note": finding.note}


if __name__ == "__main__":
    main(Job(**json.loads(sys.argv[1])))
    sys.stderr.flush()
    os._exit(0)  # thousands of actors need not be ended one by one
