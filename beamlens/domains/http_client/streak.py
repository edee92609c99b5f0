"""How often in a row calls to a host failed: of a host that is called seldom, nothing else tells that it is down."""

from __future__ import annotations

import math
from dataclasses import dataclass

from beamlens.domains.http_client.call import Call
from beamlens.domains.http_client.failure import CANCELLED

_FEWEST = 5
_SHORTEST = 10.0
_STALE = 600.0
_CHANCE = math.log(1e-6)


@dataclass(slots=True)
class Streak:
    """What came of the calls to a host.

    Attributes:
        fine: Calls that did not fail, since the host is known.
        failed: Calls that failed and after which another one did not.
        count: Calls that failed since then, all.
        began: When the first of these ended, in seconds since the epoch.
        latest: When the latest one did.
    """

    fine: int = 0
    failed: int = 0
    count: int = 0
    began: float = 0.0
    latest: float = 0.0

    def add(self, call: Call) -> None:
        """Take one that has ended; one that the program gave up says nothing."""
        at = call.at + (call.took or 0.0)
        if call.failed:
            if not self.count:
                self.began = at
            self.count += 1
            self.latest = at
        elif call.error != CANCELLED:
            self.failed += self.count
            self.fine += 1
            self.count = 0

    def down(self, now: float) -> bool:
        """Whether so many failures in a row are no chance, by the host's own past; without one, 20 are none."""
        if self.count < _FEWEST:
            return False
        if self.latest - self.began < _SHORTEST or now - self.latest > _STALE:
            return False
        share = (self.failed + 1) / (self.failed + self.fine + 2)
        return self.count * math.log(share) <= _CHANCE
