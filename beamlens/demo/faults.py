"""The faults that the demo can inject: a changed configuration of the shop, or a gateway in a bad mood.

The lines at fault are marked in the shop's source with ``# fault: name/variant``; only the demo reads the marks, to
know the truth. Nothing that watches does.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beamlens.errors import ConfigError
from beamlens.evidence import CauseKind, Place

SHOP = Path(__file__).with_name("shop")

Changes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way in which a fault happens.

    Attributes:
        name: Its mark in the source is ``fault/name``.
        changes: Makes the configuration changes, from a random generator.
        gateway: The gateway's mood: ``well``, ``busy``, ``silent`` or ``down`` (ended).
    """

    name: str
    changes: Callable[[random.Random], Changes]
    gateway: str = "well"


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault with its variants."""

    name: str
    kind: CauseKind
    description: str
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault with its parameters chosen.

    Attributes:
        fault: The fault.
        variant: The variant.
        changes: Changed settings of the shop.
        after: Seconds of health before it.
    """

    fault: Fault
    variant: Variant
    changes: Changes
    after: float

    @property
    def truth(self) -> Place:
        """The line at fault."""
        return marks()[f"{self.fault.name}/{self.variant.name}"]


FAULTS: tuple[Fault, ...] = (
    Fault(
        "cache-leak",
        CauseKind.MEMORY_LEAK,
        "a cache that is no longer bounded",
        (
            Variant("pages", lambda r: {"cached_pages": None, "page_bytes": r.randrange(120_000, 240_000)}),
            Variant("history", lambda r: {"history_entries": None, "history_bytes": r.randrange(120_000, 240_000)}),
        ),
    ),
    Fault(
        "descriptor-leak",
        CauseKind.DESCRIPTOR_LEAK,
        "files or sockets that are opened and never closed",
        (
            Variant("files", lambda r: {"open_receipts": None, "receipts_per_s": r.uniform(8, 16)}),
            Variant(
                "sockets",
                lambda r: {"idle_connections": None, "reuse_connections": False, "orders_per_s": r.uniform(8, 14)},
            ),
        ),
    ),
    Fault(
        "failing-dependency",
        CauseKind.FAILING_DEPENDENCY,
        "the payment gateway is down, busy or silent: a burst of errors and exceptions",
        (
            Variant("down", lambda r: {"orders_per_s": r.uniform(15, 40)}, gateway="down"),
            Variant("busy", lambda r: {"orders_per_s": r.uniform(15, 40)}, gateway="busy"),
            Variant("silent", lambda r: {"payment_timeout": r.uniform(0.2, 0.4)}, gateway="silent"),
        ),
    ),
    Fault(
        "gil-hog",
        CauseKind.GIL_HOG,
        "a background job that keeps the interpreter busy",
        (
            Variant("rank", lambda r: {"recommend_every": 0.001, "vectors": r.randrange(120, 240)}),
            Variant("reviews", lambda r: {"recommend_every": 0.001, "review_length": r.randrange(19, 22)}),
        ),
    ),
    Fault(
        "thread-pile-up",
        CauseKind.THREAD_PILE_UP,
        "a thread for each mail, and none of them gets on",
        (
            Variant("lock", lambda r: {"mail_seconds": 3600.0, "notifications_per_s": r.uniform(3, 5)}),
            Variant(
                "socket",
                lambda r: {
                    "mail_seconds": 0.0,
                    "mail_timeout": None,
                    "notifications_per_s": r.uniform(3, 5),
                    "orders_per_s": 0.001,
                },
                gateway="silent",
            ),
        ),
    ),
)


def names() -> list[str]:
    """Names of the faults."""
    return [fault.name for fault in FAULTS]


def choose(name: str | None, seed: int) -> Injection:
    """Choose fault, variant and parameters.

    Args:
        name: Name of the fault; ``None``: the seed chooses.
        seed: The same seed gives the same parameters.

    Raises:
        ConfigError: There is no such fault; lists those that exist.
    """
    if name is None:
        fault = FAULTS[seed % len(FAULTS)]
    else:
        found = next((fault for fault in FAULTS if fault.name == name), None)
        if found is None:
            raise ConfigError(f"there is no fault {name!r}; the faults are: {', '.join(names())}", field="fault")
        fault = found
    # The name goes in too, so that one seed is not the same draw for each fault.
    generator = random.Random(f"{fault.name} {seed}")  # noqa: S311 - a demo's parameters
    variant = generator.choice(fault.variants)
    return Injection(fault, variant, variant.changes(generator), after=generator.uniform(3.5, 5.0))


@functools.cache
def marks() -> Mapping[str, Place]:
    """The marked lines by ``fault/variant``."""
    found: dict[str, Place] = {}
    for path in sorted(SHOP.glob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            _code, mark, labels = line.partition("# fault: ")
            if mark:
                found.update({label: Place(file=str(path), line=number) for label in labels.split()})
    return found
