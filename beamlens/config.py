"""What the environment says, for what is set in no code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from beamlens.errors import ConfigError

_ON = frozenset({"1", "true", "yes", "on"})
_OFF = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables that Beamlens reads.

    Attributes:
        disabled: ``BEAMLENS_DISABLED``: nothing is installed or started.
        watchers: ``BEAMLENS_WATCHERS``: names, separated by commas, for a start without ``watchers=``.
    """

    disabled: bool = False
    watchers: tuple[str, ...] = ()

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Environment:
        """Read it.

        Raises:
            ConfigError: ``BEAMLENS_DISABLED`` is neither on nor off.
        """
        flag = environ.get("BEAMLENS_DISABLED", "").strip().lower()
        if flag not in _ON | _OFF:
            raise ConfigError(f"BEAMLENS_DISABLED must be 1 or 0, not {flag!r}", field="BEAMLENS_DISABLED")
        names = environ.get("BEAMLENS_WATCHERS", "").split(",")
        return cls(flag in _ON, tuple(name.strip() for name in names if name.strip()))
