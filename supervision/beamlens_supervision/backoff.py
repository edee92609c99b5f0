"""`Backoff`: how long to wait before a child that ended is started again. OTP has none; Akka does."""

from __future__ import annotations

import math
import random as _random
from collections.abc import Callable
from dataclasses import dataclass, field

from beamlens_supervision.errors import InvalidChildSpec
from beamlens_supervision.options import is_seconds


@dataclass(frozen=True)
class Backoff:
    """Seconds before a restart, for `ChildSpec.backoff`: exponential, capped, and spread if wanted.

    Attempt 1 waits `base` seconds, each further one `factor` times as long, none longer than `cap`. With `jitter` a
    part of that is random, so that many children that failed together do not come back together. The supervisor
    answers, and restarts others, meanwhile. The window of restarts counts an attempt when the child ends, so give the
    supervisor a `max_restarts` that fits: with `Backoff(1.0)` four attempts take 15 seconds.

        ChildSpec("db", Connection.start, backoff=Backoff(0.5, cap=60.0, jitter=0.2))

    Attributes:
        base: seconds before the first restart.
        factor: at least 1; 1 waits the same each time.
        cap: most seconds.
        jitter: from 0 to 1: how large a part of the wait is random; 0.2 waits from 80 to 100 %.
        random: gives numbers from 0 to 1; for tests.

    Raises:
        InvalidChildSpec: naming field (`backoff.base`, ...) and value.
    """

    base: float = 0.1
    factor: float = 2.0
    cap: float = 30.0
    jitter: float = 0.0
    random: Callable[[], float] = field(default=_random.random, repr=False, compare=False)

    def __post_init__(self) -> None:
        finite = "a finite number of seconds that is not negative"
        self._require("base", self.base, is_seconds(self.base) and self.base != math.inf, finite)
        factor = is_seconds(self.factor) and 1 <= self.factor < math.inf
        self._require("factor", self.factor, factor, "a finite number of at least 1")
        self._require("cap", self.cap, is_seconds(self.cap) and self.cap != math.inf, finite)
        self._require("jitter", self.jitter, is_seconds(self.jitter) and self.jitter <= 1, "a number from 0 to 1")
        self._require("random", self.random, callable(self.random), "callable")

    @staticmethod
    def _require(name: str, value: object, condition: bool, expected: str) -> None:
        if not condition:
            raise InvalidChildSpec(f"backoff.{name}", value, expected)

    def __call__(self, attempt: int) -> float:
        """Seconds to wait before restart number `attempt` (1, 2, ...)."""
        try:
            delay = min(self.cap, self.base * float(self.factor) ** (attempt - 1))
        except OverflowError:
            delay = self.cap if self.base else 0.0
        return delay * (1.0 - self.jitter * self.random()) if self.jitter else delay
