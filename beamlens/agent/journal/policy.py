"""When the disk is made to keep what was written."""

from __future__ import annotations

from typing import Literal, cast, get_args

from beamlens.errors import ConfigError

Fsync = Literal["always", "run", "never"]

DEFAULT_FSYNC: Fsync = "run"
"""A process that is killed loses nothing that was written: the system has it. What fsync adds is to survive the machine
itself. One a message would have the host's disk wait for us several times a run, one a run bounds what a power cut
takes to the run under way; and the host comes first."""


def check_fsync(fsync: str) -> Fsync:
    """`fsync`, if it is one of the choices.

    Raises:
        ConfigError: It is none.
    """
    if fsync not in get_args(Fsync):
        raise ConfigError(f"fsync must be one of {', '.join(get_args(Fsync))}, not {fsync!r}", field="fsync")
    return cast("Fsync", fsync)
