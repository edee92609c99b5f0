"""What the environment says, for what is set in no code."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from beamlens.errors import ConfigError

_ON = frozenset({"1", "true", "yes", "on"})
_OFF = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables that Beamlens reads.

    Attributes:
        disabled: ``BEAMLENS_DISABLED``: nothing is installed or started.
        watchers: ``BEAMLENS_WATCHERS``: names, separated by commas, for a start without ``watchers=``.
        budget_usd_per_day: ``BEAMLENS_BUDGET_USD_PER_DAY``: for a start without ``budget=``.
        state_dir: ``BEAMLENS_STATE_DIR``: for a start without ``state_dir=``.
    """

    disabled: bool = False
    watchers: tuple[str, ...] = ()
    budget_usd_per_day: float | None = None
    state_dir: str | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Environment:
        """Read it.

        Raises:
            ConfigError: ``BEAMLENS_DISABLED`` is neither on nor off, or the budget is no number.
        """
        flag = environ.get("BEAMLENS_DISABLED", "").strip().lower()
        if flag not in _ON | _OFF:
            raise ConfigError(f"BEAMLENS_DISABLED must be 1 or 0, not {flag!r}", field="BEAMLENS_DISABLED")
        names = environ.get("BEAMLENS_WATCHERS", "").split(",")
        dollars = environ.get("BEAMLENS_BUDGET_USD_PER_DAY", "").strip()
        state_dir = environ.get("BEAMLENS_STATE_DIR", "").strip() or None
        watchers = tuple(name.strip() for name in names if name.strip())
        return cls(flag in _ON, watchers, _amount(dollars), state_dir)


def _amount(text: str) -> float | None:
    if not text:
        return None
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not math.isfinite(amount) or amount < 0:
        name = "BEAMLENS_BUDGET_USD_PER_DAY"
        raise ConfigError(f"{name} must be US dollars, at least 0, not {text!r}", field=name)
    return amount


def state_folder(given: object) -> Path | None:
    """A state directory as an absolute path; it is made when it is first needed.

    Raises:
        ConfigError: It is no path, or a file.
    """
    if given is None:
        return None
    if not isinstance(given, str | os.PathLike) or not str(given) or "\0" in str(given):
        raise ConfigError(f"state_dir must be a path or None, not {given!r}", field="state_dir")
    try:
        # Absolute: the host may change its working directory.
        folder = Path(given).expanduser().absolute()
        is_file = folder.exists() and not folder.is_dir()
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        raise ConfigError(f"state_dir cannot be used: {given!r} ({error})", field="state_dir") from error
    if is_file:
        raise ConfigError(f"state_dir must be a folder, and {str(folder)!r} is a file", field="state_dir")
    return folder


def file_name(name: str) -> str:
    """A name as part of a file's, which may have 255 bytes."""
    quoted = quote(name, safe="")
    return quoted if len(quoted) <= 150 else f"{quoted[:130]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
