"""What was sent, by fingerprint, since recording began."""

from __future__ import annotations

from dataclasses import dataclass, field

from beamlens.domains.database.fingerprint import Fingerprints, is_read
from beamlens.probes.call_site import Site

_MOST = 500
_MOST_TEXTS = 1000
_MOST_AT_ONCE = 600
_MOST_SITES = 8
_LEARNED = 50
_MUCH_SLOWER_S = 0.05
_FOLLOWS, _FOLLOWS_SLOWER = 1 / 200, 1 / 5000


@dataclass(slots=True)
class Print:
    """A fingerprint since recording began; `usual` is its mean time, which follows slowly."""

    fingerprint: str
    reads: bool
    count: int = 0
    seconds: float = 0.0
    most: float = 0.0
    errors: int = 0
    rows: int = 0
    latest: float = 0.0
    usual: float = 0.0
    sites: dict[Site | None, int] = field(default_factory=dict)

    @property
    def learned(self) -> bool:
        """Whether its usual time is known."""
        return self.count > _LEARNED

    def is_late(self, seconds: float) -> bool:
        """Whether that is far longer than usual.

        Against its own past: neither another mix of statements nor a nightly job makes all of them slower.
        """
        return seconds > self.usual + _MUCH_SLOWER_S and seconds > 3 * self.usual

    def add(self, seconds: float, at: float, rows: int, site: Site | None) -> bool | None:
        """Take one; answers whether it was far slower than usual, ``None`` while that is being learned.

        Args:
            seconds: How long it took.
            at: When it ended, in seconds since the epoch.
            rows: Rows returned or changed; not above 0 where that is not known.
            site: The line that sent it; eight are told apart.
        """
        self.count += 1
        self.seconds += seconds
        self.latest = at
        self.most = max(self.most, seconds)
        if rows > 0:
            self.rows += rows
        sites = self.sites
        if site in sites:
            sites[site] += 1
        elif len(sites) < _MOST_SITES:
            sites[site] = 1
        usual = self.usual
        if self.count <= _LEARNED:
            self.usual = usual + (seconds - usual) / self.count
            return None
        slower = seconds > _MUCH_SLOWER_S and self.is_late(seconds)
        self.usual = usual + (seconds - usual) * (_FOLLOWS_SLOWER if slower else _FOLLOWS)
        return slower


class Prints:
    """At most 500 fingerprints, found by a statement's text. Not for several threads: the ledger guards it."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        self._fingerprints = fingerprints
        self._found: dict[str, Print] = {}
        # By the text's hash: a text may hold literals, which are not to be kept.
        self._known: dict[int, Print] = {}

    def of(self, text: str) -> Print:
        """That of a statement."""
        return self._known.get(hash(text)) or self._find(text)

    def name(self, text: str) -> str:
        """A statement's fingerprint, on the host's threads: at once, without a lock.

        ``""`` for a long text that is not known yet: to make one can take a millisecond, and is done when it is added.
        """
        found = self._known.get(hash(text))
        if found is not None:
            return found.fingerprint
        return self._fingerprints.of(text) if len(text) <= _MOST_AT_ONCE else ""

    def _find(self, text: str) -> Print:
        fingerprint = self._fingerprints.of(text)
        found = self._found.get(fingerprint)
        if found is None:
            found = self._found[fingerprint] = Print(fingerprint, is_read(fingerprint))
            if len(self._found) > _MOST:
                self._forget()
        if len(self._known) >= _MOST_TEXTS:
            self._known.clear()
        self._known[hash(text)] = found
        return found

    def _forget(self) -> None:
        """Drop the half that was not sent for longest."""
        oldest = sorted(self._found.values(), key=lambda one: one.latest)
        for one in oldest[: _MOST // 2]:
            if one.latest:
                del self._found[one.fingerprint]
        self._known.clear()

    def all(self) -> list[Print]:
        """All that are held."""
        return list(self._found.values())

    def get(self, fingerprint: str) -> Print | None:
        """That of a fingerprint, if it is held."""
        return self._found.get(fingerprint)
