"""How far a text may be believed: whose words it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Trust = Literal["trusted", "untrusted"]


@dataclass(frozen=True, slots=True)
class TrustMetadata:
    """Whose words a tool result is made of.

    Attributes:
        level: ``untrusted``: it may hold text from outside, and is fenced where it enters a prompt. Anything but
            ``untrusted`` is ``trusted``.
        source: Where the text is from, in a word, such as a domain's name; ``""`` for Beamlens's own words.
        tool: The tool that returned it.
    """

    level: Trust = "trusted"
    source: str = ""
    tool: str = ""

    @property
    def untrusted(self) -> bool:
        """Whether it has to be fenced."""
        return self.level == "untrusted"


TRUSTED = TrustMetadata()
"""Our own words."""
